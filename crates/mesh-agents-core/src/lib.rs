//! The words of the domain: ids, agents, principals, policy, tasks, transitions and the Runner port.
