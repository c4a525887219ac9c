//! One run of the command: started in its own process group, read to its end, never left behind.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::output::{Gathered, Lines};

/// What a polite request to end may take; the bridge gives a harness 400 ms in all (DESIGN §5).
const TERM_GRACE: Duration = Duration::from_millis(200);
/// How long output is still read after the command itself is gone: a child it left in the
/// background may hold the pipe open for ever.
const LEFTOVER: Duration = Duration::from_millis(300);
/// Read at once; a pipe holds 64 KiB.
const READ_BYTES: usize = 64 * 1024;

/// The command and its arguments.
#[derive(Debug, Clone)]
pub(super) struct CommandLine {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
}

impl CommandLine {
    /// As a person would type it, words with white space in quotes.
    pub(super) fn shown(&self) -> String {
        let word = |word: &OsString| {
            let word = word.to_string_lossy();
            match word.is_empty() || word.contains(|c: char| c.is_whitespace() || c.is_control()) {
                true => format!("{word:?}"),
                false => word.into_owned(),
            }
        };
        let words = std::iter::once(&self.program).chain(&self.args);
        let words: Vec<_> = words.map(word).collect();
        words.join(" ")
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// With this exit code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// It could not be started; the code a shell would give, and why.
    NotStarted(i32, String),
    /// We were asked to end it.
    Canceled,
}

/// Runs the command in `cwd` until it ends or `cancel` is cancelled, handing over its output as it
/// comes. Standard output and error are one pipe, so their order is the command's own. Nothing of
/// its process group is left afterwards.
///
/// # Errors
/// When the pipe cannot be made or the command not be waited for.
pub(super) async fn run(
    command: &CommandLine,
    cwd: &Path,
    cancel: &CancellationToken,
    say: &(dyn Fn(String) + Send + Sync),
) -> io::Result<(End, Gathered)> {
    let mut gathered = Gathered::default();
    let (mut child, pipe) = match start(command, cwd)? {
        Ok(started) => started,
        Err(end) => return Ok((end, gathered)),
    };
    let group = Group::of(&child);
    let mut pipe = Receiver::from_owned_fd(pipe.into())?;
    let finished = tokio::select! {
        biased;
        () = cancel.cancelled() => None,
        finished = read_to_the_end(&mut child, &mut pipe, &mut gathered, say) => Some(finished?),
    };
    let end = match finished {
        Some(status) => end_of(status),
        None => {
            group.signal(Signal::TERM);
            // Whether it left in time or not, what is left of its group goes now.
            let _left = timeout(TERM_GRACE, child.wait()).await;
            group.signal(Signal::KILL);
            child.wait().await?;
            End::Canceled
        }
    };
    Ok((end, gathered))
}

type Started = Result<(Child, io::PipeReader), End>;

fn start(command: &CommandLine, cwd: &Path) -> io::Result<Started> {
    let (reader, writer) = io::pipe()?;
    let mut start = Command::new(&command.program);
    start
        .args(&command.args)
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .kill_on_drop(true);
    // `start` holds the writing ends; the pipe only ends when they are gone.
    let spawned = start.spawn();
    drop(start);
    Ok(match spawned {
        Ok(child) => Ok((child, reader)),
        Err(error) => {
            let code = match error.kind() {
                io::ErrorKind::NotFound => 127,
                _ => 126,
            };
            Err(End::NotStarted(code, error.to_string()))
        }
    })
}

async fn read_to_the_end(
    child: &mut Child,
    pipe: &mut Receiver,
    gathered: &mut Gathered,
    say: &(dyn Fn(String) + Send + Sync),
) -> io::Result<ExitStatus> {
    let mut lines = Lines::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut open = true;
    let mut gone: Option<(ExitStatus, Instant)> = None;
    let tell = |gathered: &mut Gathered, lines: &[String]| {
        if let Some(text) = gathered.add(lines) {
            say(text);
        }
    };
    while open || gone.is_none() {
        let until = gone.map(|(_, until)| until);
        tokio::select! {
            biased;
            read = pipe.read(&mut buffer), if open => match read? {
                0 => open = false,
                count => tell(gathered, &lines.feed(&buffer[..count])),
            },
            status = child.wait(), if gone.is_none() => {
                gone = Some((status?, Instant::now() + LEFTOVER));
            }
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => break,
        }
    }
    if let Some(rest) = lines.rest() {
        tell(gathered, &[rest]);
    }
    match gone {
        Some((status, _)) => Ok(status),
        None => child.wait().await,
    }
}

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exit(code),
        (None, Some(signal)) => End::Signal(signal),
        (None, None) => End::Signal(0),
    }
}

/// The command's process group. Killed when dropped, so that nobody can forget it.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        Self(pid.and_then(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // An error says that nothing is left to receive it.
            let _nobody = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn shell(script: &str) -> CommandLine {
        CommandLine {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
        }
    }

    async fn ran(command: &CommandLine) -> (End, String) {
        let said = Mutex::new(String::new());
        let say = |text: String| said.lock().unwrap().push_str(&text);
        let dir = tempfile::tempdir().unwrap();
        let (end, _) = run(command, dir.path(), &CancellationToken::new(), &say)
            .await
            .unwrap();
        (end, said.into_inner().unwrap())
    }

    #[tokio::test]
    async fn both_outputs_come_in_the_order_they_were_written() {
        let script = "for i in 1 2 3 4 5; do echo out$i; echo err$i >&2; done; printf open; exit 3";
        let (end, said) = ran(&shell(script)).await;
        let expected: String = (1..=5).map(|i| format!("out{i}\nerr{i}\n")).collect();
        assert_eq!((end, said), (End::Exit(3), expected + "open\n"));
    }

    #[tokio::test]
    async fn how_it_ended_is_told_apart() {
        assert_eq!(ran(&shell("kill -9 $$")).await.0, End::Signal(9));
        let mut missing = shell("");
        missing.program = "/no/such/program".into();
        assert!(matches!(ran(&missing).await.0, End::NotStarted(127, _)));
        missing.program = "/etc/passwd".into();
        assert!(matches!(ran(&missing).await.0, End::NotStarted(126, _)));
    }

    #[tokio::test]
    async fn a_child_left_in_the_background_does_not_keep_the_run_open() {
        let (end, said) = ran(&shell("sleep 1000 & echo $!")).await;
        assert_eq!(end, End::Exit(0));
        gone(said.trim().parse().unwrap()).await;
    }

    #[tokio::test]
    async fn cancel_ends_the_whole_group_even_when_it_does_not_listen() {
        let started = CancellationToken::new();
        let pids = Mutex::new(String::new());
        let say = |text: String| {
            let mut pids = pids.lock().unwrap();
            pids.push_str(&text);
            if pids.lines().count() == 2 {
                started.cancel();
            }
        };
        let script = "trap '' TERM; sleep 1000 & echo $$; echo $!; wait; wait; sleep 1000";
        let dir = tempfile::tempdir().unwrap();
        let (end, _) = run(&shell(script), dir.path(), &started, &say)
            .await
            .unwrap();
        assert_eq!(end, End::Canceled);
        for pid in pids.into_inner().unwrap().lines() {
            gone(pid.parse().unwrap()).await;
        }
    }

    /// Waits until the process is gone or only waits to be reaped by init.
    async fn gone(pid: u32) {
        let alive = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
        };
        while alive() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[test]
    fn a_command_line_is_shown_as_one_types_it() {
        assert_eq!(shell("make test").shown(), "/bin/sh -c \"make test\"");
    }
}
