//! Ways out through processes, powers and sockets.

use super::Control::{Always, Never, Perhaps, Root};
use super::Got::{Heard, Killed, Said};
use super::{CANARY, Needs, OPEN, Probe, net, py, sh};

pub(super) const OTHERS: &[Probe] = &[
    sh(
        "another task's workspace",
        "cat @other@/canary",
        CANARY,
        Always,
    ),
    sh(
        "another task's results",
        "cat @results@/canary",
        CANARY,
        Always,
    ),
    sh(
        "another task's prompt",
        "cat @results@/../prompt.txt",
        CANARY,
        Always,
    ),
    sh(
        "another run's environment",
        "tr '\\0' '\\n' < /proc/@harness@/environ",
        CANARY,
        Always,
    ),
    sh(
        "another run's directory",
        "cat /proc/@harness@/cwd/canary",
        CANARY,
        Always,
    ),
    sh(
        "a guard's directory",
        "ls /proc/@guard@/cwd/ && echo @open@",
        OPEN,
        Always,
    ),
    sh(
        "list of the temporary directory",
        "ls @tmp@ && echo @open@",
        OPEN,
        Always,
    ),
    py(
        "another's memory by /proc",
        "memory = open('/proc/@victim@/mem', 'rb', 0)\nmemory.seek(@secret@)\nprint(memory.read(64).decode())",
        CANARY,
        Root,
    ),
    py(
        "another's memory, to write",
        "open('/proc/@victim@/mem', 'r+b', 0)\nprint('@open@')",
        OPEN,
        Root,
    ),
    py(
        "another's memory by process_vm_readv",
        "room = ctypes.create_string_buffer(64)\nlocal = struct.pack('NN', ctypes.addressof(room), 64)\nremote = struct.pack('NN', @secret@, 64)\nopened(libc.process_vm_readv(@victim@, local, 1, remote, 1, 0))\nprint(room.value.decode())",
        CANARY,
        Root,
    ),
    py(
        "a process by ptrace",
        "libc.ptrace.argtypes = [ctypes.c_long] * 4\nopened(libc.ptrace(0x4206, @victim@, 0, 0))",
        OPEN,
        Root,
    ),
    py(
        "a descriptor by pidfd_getfd",
        "pidfd = os.pidfd_open(@engine@)\nopened(libc.syscall(438, pidfd, 0, 0))",
        OPEN,
        Root,
    ),
];

pub(super) const POWERS: &[Probe] = &[
    sh(
        "kill",
        "kill -9 @victim@",
        Killed,
        Never("its victim is needed; the row after it stands for it"),
    ),
    sh("signal", "kill -0 @victim@ && echo @open@", OPEN, Always),
    sh(
        "kill of the engine",
        "kill -9 @engine@ && echo @open@",
        OPEN,
        Never("it would end the control"),
    ),
    sh(
        "kill of a guard",
        "kill -9 @guard@ && echo @open@",
        OPEN,
        Never("it would end the other task"),
    ),
    sh(
        "the mark of a run",
        "ulimit -H -R unlimited && echo @open@",
        OPEN,
        Perhaps,
    ),
    sh(
        "user namespace",
        "unshare -Ur cat @home@/.netrc",
        CANARY,
        Root,
    ),
    py(
        "mount",
        "libc.unshare(0x10000000 | 0x20000)\nos.mkdir('m')\nopened(libc.mount(b'none', b'm', b'tmpfs', 0, None))",
        OPEN,
        Root,
    ),
    sh(
        "device of one's own",
        "mknod disk b 254 0 && echo @open@",
        OPEN,
        Root,
    ),
    py(
        "another user",
        "os.setgroups([])\nos.setuid(65534)\nprint(open('@home@/.netrc').read())",
        CANARY,
        Never("that user has no right to it"),
    ),
    py(
        "powers",
        "caps = next(line for line in open('/proc/self/status') if line.startswith('CapEff'))\nif int(caps.split()[1], 16) & (1 << 21 | 1 << 19 | 1 << 12 | 1 << 22 | 1 << 16): print('@open@')",
        OPEN,
        Root,
    ),
];

pub(super) const NETWORK: &[Probe] = &[
    // Not of the network, but held by the same filter.
    net(
        "keys of the session",
        "opened(libc.syscall(250, 0, -3, 0, 0, 0))",
        OPEN,
        Perhaps,
    ),
    Probe {
        needs: Needs::Files,
        ..net(
            "abstract socket",
            "connect((socket.AF_UNIX,), '\\0@abstract@')",
            Heard("abstract"),
            Always,
        )
    },
    Probe {
        needs: Needs::Files,
        ..net(
            "engine.sock as the owner",
            "s = socket.socket(socket.AF_UNIX)\ns.connect('@data@/a2a/engine.sock')\ns.sendall(b'GET /engine/v1/status HTTP/1.1\\r\\nhost: e\\r\\nconnection: close\\r\\n\\r\\n')\nprint(s.makefile().read())",
            Said("base_url"),
            Never("no run is let in there"),
        )
    },
    net(
        "engine.sock",
        "connect((socket.AF_UNIX,), '@data@/a2a/engine.sock')",
        Said("connected"),
        Always,
    ),
    net(
        "socket of the owner's",
        "connect((socket.AF_UNIX,), '@unix@')",
        Heard("unix"),
        Always,
    ),
    net(
        "loopback port",
        "connect((socket.AF_INET,), ('127.0.0.1', @tcp@))",
        Heard("tcp"),
        Always,
    ),
    net(
        "loopback port by IPv6",
        "connect((socket.AF_INET6,), ('::1', @six@))",
        Heard("six"),
        Perhaps,
    ),
    net(
        "loopback port by UDP",
        "connect((socket.AF_INET, socket.SOCK_DGRAM), ('127.0.0.1', @udp@))",
        Heard("udp"),
        Always,
    ),
    net(
        "loopback port by MPTCP",
        "connect((socket.AF_INET, socket.SOCK_STREAM, 262), ('127.0.0.1', @mptcp@))",
        Heard("mptcp"),
        Perhaps,
    ),
    net(
        "loopback port by TCP fast open",
        "s = socket.socket()\ns.sendto(b'x', socket.MSG_FASTOPEN, ('127.0.0.1', @fastopen@))",
        Heard("fastopen"),
        Always,
    ),
    net(
        "address beyond loopback",
        "connect((socket.AF_INET,), ('@self@', @beyond@))",
        Heard("beyond"),
        Perhaps,
    ),
    net(
        "metadata address",
        "s = socket.socket()\ns.settimeout(2)\nfound = s.connect_ex(('169.254.169.254', 80))\nprint(found, '@open@' if found in (0, 11, 110, 111) else 'refused')",
        OPEN,
        Perhaps,
    ),
    net(
        "a name of the network",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.sendto(b'x', ('192.0.2.53', 53))\nprint('@open@')",
        OPEN,
        Perhaps,
    ),
    net(
        "the node as its owner",
        "import urllib.request\nprint(urllib.request.urlopen('http://127.0.0.1:@node@/metrics', timeout=5).read().decode())",
        Said("mesh_agents_tasks_running"),
        Always,
    ),
    net(
        "raw socket",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)\nprint('@open@')",
        OPEN,
        Root,
    ),
    net(
        "packet socket",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\nprint('@open@')",
        OPEN,
        Root,
    ),
    net(
        "socket to the machine's host",
        "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)\nprint('@open@')",
        OPEN,
        Perhaps,
    ),
    net(
        "socket of the kernel's crypto",
        "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)\nprint('@open@')",
        OPEN,
        Perhaps,
    ),
    net(
        "sockets of all by netlink",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)\nprint('@open@')",
        OPEN,
        Always,
    ),
    net(
        "io_uring",
        "opened(libc.syscall(425, 8, ctypes.create_string_buffer(120)))",
        OPEN,
        Perhaps,
    ),
    net(
        "numbers of x32",
        "opened(libc.syscall(0x40000000 | 41, 1, 1, 0))",
        OPEN,
        Perhaps,
    ),
];
