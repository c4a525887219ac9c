//! Dev-only parts with which the other crates are tested: a scripted ACP agent, a scripted model server, agent directories.
