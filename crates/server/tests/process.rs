//! The binary as a process: what it prints, how it ends, what it refuses.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

fn duolog(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duolog"));
    command.args(args).env_clear().env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = duolog(args).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A broker that is ended when the test is.
struct Broker {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// The lines it printed up to the last.
    lines: Vec<String>,
}

impl Broker {
    fn start(dir: &Path) -> Self {
        Self::of(serve(dir.to_str().unwrap()).stderr(Stdio::null()))
    }

    /// Starts `command`, which says where its stderr goes.
    fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|line: &String| line.starts_with("acks ")) {
            let mut line = String::new();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "ended before it was ready: {lines:?}");
            lines.push(line.trim_end().to_owned());
        }
        Self { child, stdout, lines }
    }

    fn value(&self, label: &str) -> &str {
        let line = self.lines.iter().find(|line| line.split_whitespace().next() == Some(label));
        line.unwrap_or_else(|| panic!("no {label} line in {:?}", self.lines))[label.len()..].trim()
    }

    /// Runs a subcommand against this broker with `input` on stdin; its stdout.
    fn tool(&self, args: &[&str], input: &str) -> String {
        let mut command = duolog(args);
        command.args(["--bootstrap", self.value("kafka")]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The whole input fits the pipe, so writing it before reading the output can't lock up.
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.value("http")).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn terminate(mut self) -> i32 {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "nothing but the startup lines goes to stdout");
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Gone already, in most tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(dir: &str) -> Command {
    duolog(&[
        "--data-dir",
        dir,
        "--kafka-listen",
        "127.0.0.1:0",
        "--nats-listen",
        "127.0.0.1:0",
        "--http-listen",
        "127.0.0.1:0",
        "--set",
        "wal.file_bytes=1MiB",
    ])
}

#[test]
fn a_broker_says_where_it_is_is_ready_and_ends_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path());
    assert!(broker.value("data").ends_with("(new)"), "{:?}", broker.lines);
    assert!(broker.value("acks").contains("stable storage"), "{:?}", broker.lines);
    assert!(broker.get("/readyz").contains(r#"{"ready":true,"reasons":[]}"#));
    let page = broker.get("/metrics");
    assert!(
        page.contains("duolog_server_info{version=") && page.contains("durability=\"sync\"} 1"),
        "{page}"
    );
    assert!(page.contains("duolog_log_poisoned 0"), "{page}");
    assert_eq!(broker.terminate(), 0);
    let again = Broker::start(dir.path());
    assert!(again.value("data").contains("(recovered in "), "{:?}", again.lines);
    assert_eq!(again.terminate(), 0);
}

#[test]
fn a_stderr_that_takes_nothing_stops_neither_the_broker_nor_its_clean_end() {
    let dir = tempfile::tempdir().unwrap();
    let (reader, nobody_reads) = std::io::pipe().unwrap();
    drop(reader);
    for stderr in [full(), nobody_reads.into()] {
        let broker = Broker::of(serve(dir.path().to_str().unwrap()).stderr(stderr));
        broker.tool(&["topic", "list"], "");
        // The end logs at least two lines.
        assert_eq!(broker.terminate(), 0);
    }
}

/// A file that nothing can be written to.
fn full() -> Stdio {
    std::fs::File::options().write(true).open("/dev/full").unwrap().into()
}

#[test]
fn too_few_open_files_mean_fewer_connections_and_not_a_log_that_stops() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = with_open_files(480, &serve(dir.path().to_str().unwrap()));
    // 60 files of segments, twice, and 256 for the rest of the broker; half of what is left for each door.
    const LEFT: usize = (480 - 2 * 60 - 256) / 2;
    let mut broker = Broker::of(command.stderr(Stdio::piped()));
    let mut stderr = broker.child.stderr.take().unwrap();

    broker.tool(&["topic", "create", "wide", "--partitions", "600"], "");
    let lines: String = (0..3000).map(|number| format!("key-{number}:value\n")).collect();
    broker.tool(&["produce", "wide", "--key-separator", ":"], &lines);
    let address = broker.value("kafka").to_owned();
    let mut connections: Vec<TcpStream> =
        (0..LEFT + 8).map(|_| TcpStream::connect(&address).unwrap()).collect();
    // They are let in or closed in their order, so once the last is closed all have been.
    let last = connections.last_mut().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert!(is_closed(last), "more connections than files are left for");
    let mut open = 0;
    for connection in &mut connections {
        connection.set_nonblocking(true).unwrap();
        open += usize::from(!is_closed(connection));
    }
    // The end of the tools' connections may not have been seen yet.
    assert!((LEFT - 4..=LEFT).contains(&open), "{open} connections are open");

    // It ends with a checkpoint of more partitions than files are left for.
    assert_eq!(broker.terminate(), 0);
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    let numbers = "connections=52 max_connections=20000 nats_connections=52 max_nats_connections=65536 \
                   segment_files=60 max_open_files=512 open_files=480 needed=86816";
    assert!(said.contains(numbers), "{said}");
    assert!(said.contains("LimitNOFILE"), "{said}");
}

/// `command`, where no more than `files` may be open.
fn with_open_files(files: u32, command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.arg("-c").arg(format!("ulimit -n {files} && exec \"$0\" \"$@\""));
    limited.arg(command.get_program()).args(command.get_args());
    limited.env_clear().env("NO_COLOR", "1").stdin(Stdio::null());
    limited
}

/// Whether the other side has closed; a connection with nothing to read within its time is open.
fn is_closed(connection: &mut TcpStream) -> bool {
    match connection.read(&mut [0]) {
        Ok(0) => true,
        Ok(_) => panic!("nothing was asked"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            true
        }
    }
}

#[test]
fn a_stdout_that_takes_nothing_does_not_keep_the_broker_from_serving() {
    let dir = tempfile::tempdir().unwrap();
    // Its warning is how this test knows that it got past its startup lines.
    let mut command = with_open_files(800, &serve(dir.path().to_str().unwrap()));
    let mut child = command.stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    assert!(stderr.read_line(&mut line).unwrap() > 0, "ended before it served");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{line}{rest}");
}

#[test]
fn what_was_acknowledged_is_there_after_the_broker_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(dir.path());
    broker.tool(&["topic", "create", "orders", "--partitions", "3", "-c", "retention.ms=3600000"], "");
    let lines: String = (0..500).map(|number| format!("key-{number}:value {number}\n")).collect();
    broker.tool(&["produce", "orders", "--key-separator", ":", "-z", "lz4", "-H", "source=test"], &lines);
    let read = ["consume", "orders", "--until-end", "-o", "jsonl"];
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let before = sorted(broker.tool(&read, ""));
    assert_eq!(before.len(), 500);
    let described = broker.tool(&["topic", "describe", "orders"], "");
    broker.child.kill().unwrap();
    broker.child.wait().unwrap();

    let broker = Broker::start(dir.path());
    assert_eq!(sorted(broker.tool(&read, "")), before);
    assert_eq!(broker.tool(&["topic", "describe", "orders"], ""), described);
    assert!(broker.get("/metrics").contains("duolog_broker_topics 1\n"));
    broker.tool(&["topic", "delete", "orders", "--yes"], "");
    assert_eq!(broker.tool(&["topic", "list", "-o", "name"], ""), "");
    assert_eq!(broker.terminate(), 0);
}

#[test]
fn a_second_broker_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path());
    let second = serve(dir.path().to_str().unwrap()).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(second.stderr).unwrap(),
        format!(
            "error: data directory {} is in use by another process; stop it first, or choose another data directory\n",
            dir.path().display()
        )
    );
    assert_eq!(broker.terminate(), 0);
}

#[test]
fn a_taken_port_names_the_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().to_str().unwrap();
    let (code, stdout, stderr) = run(&[
        "--data-dir",
        data_dir,
        "--kafka-listen",
        "127.0.0.1:0",
        "--nats-listen",
        "127.0.0.1:0",
        "--http-listen",
        &address,
    ]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.starts_with(&format!("error: cannot listen on {address}: ")), "{stderr}");
    assert!(stderr.contains("--http-listen"), "{stderr}");
}

#[test]
fn wrong_usage_is_64_and_help_is_not() {
    for args in [&["--nonsense"][..], &["topic"], &["topic", "create"], &["--set", "wal.file_bytes=lots"]] {
        let (code, stdout, stderr) = run(args);
        assert_eq!((code, stdout.as_str()), (64, ""), "{args:?}");
        assert!(!stderr.is_empty(), "{args:?}");
    }
    let (code, stdout, _) = run(&["--help"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("Examples:\n  duolog "), "{stdout}");
}

#[test]
fn config_show_prints_a_file_that_gives_the_same_settings_again() {
    let (code, shown, _) = run(&["config", "show", "--set", "topics.default_partitions=7"]);
    assert_eq!(code, 0);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("duolog.yaml");
    write_file(&path, &shown);
    let path = path.to_str().unwrap();
    assert_eq!(run(&["config", "show", "-f", path]), (0, shown, String::new()));
    let (_, origins, _) = run(&["config", "show", "--origin", "-f", path]);
    assert!(origins.contains(&format!("{path}:")), "{origins}");
}

#[expect(clippy::disallowed_methods, reason = "a test's own file")]
fn write_file(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_tool_without_a_broker_says_so_and_fails() {
    // Bound and dropped: nobody listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, stdout, stderr) = run(&["topic", "list", "--bootstrap", &address]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert_eq!(
        stderr,
        format!(
            "error: could not reach {address}: connection refused; is the broker running? start it with `duolog`\n"
        )
    );
}
