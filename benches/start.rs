//! From the start of a process that finds a snapshot to the first record that it counts.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use driftd::config;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Bench;
use crate::DAEMON;
use crate::brokers::Mock;
use crate::daemon;
use crate::table;

/// What a start may take.
const REACH: Duration = Duration::from_millis(150);
const ROUNDS: usize = 7;
const LOOK: Duration = Duration::from_millis(1);

/// The other process: the daemon of the configuration that the next argument names, until standard
/// input ends. Says where its metrics are.
pub(crate) fn serve() {
    // For seeing where the time goes.
    if env::var_os("DRIFTD_BENCH_LOG").is_some() {
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    }
    let path = env::args().nth(2).expect("a configuration");
    let text = fs::read_to_string(path).expect("it can be read");
    let config = config::parse(&text, &|_| None).expect("it is valid").config;
    let stop = CancellationToken::new();
    let ended = stop.clone();
    thread::spawn(move || {
        std::io::stdin().read_to_end(&mut Vec::new()).ok();
        ended.cancel();
    });
    let told = |addresses: driftd::pipeline::Addresses| println!("{}", addresses.public);
    daemon::runtime().block_on(daemon::run(config, stop, told)).expect("the daemon ends well");
}

struct Daemon {
    process: Child,
    public: String,
    started: Instant,
    /// When it listened.
    ready: Duration,
}

impl Daemon {
    fn start(config: &Path) -> Self {
        let started = Instant::now();
        let mut process = Command::new(env::current_exe().expect("this program has a path"))
            .arg(DAEMON)
            .arg(config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let mut public = String::new();
        let output = process.stdout.take().expect("it is a pipe");
        BufReader::new(output).read_line(&mut public).expect("it says where it is");
        Self { process, public: public.trim().to_owned(), started, ready: started.elapsed() }
    }

    /// When the first record was counted.
    fn first_record(&self) -> Duration {
        loop {
            let elapsed = self.started.elapsed();
            if self.metric("driftd_records_consumed_total") > 0 {
                return elapsed;
            }
            assert!(elapsed < Duration::from_secs(60), "nothing was counted");
            thread::sleep(LOOK);
        }
    }

    fn metric(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(&self.public).expect("it listens");
        let request = "GET /metrics HTTP/1.1\r\nHost: driftd\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        daemon::total(&answer, name)
    }

    fn stop(mut self) {
        drop(self.process.stdin.take());
        self.process.wait().expect("it ends");
    }
}

/// Starts on a state that was left by an ordinary stop, with records waiting. Every start is in a
/// group of its own: the mock cluster lets the next member of one that was left wait for a session's
/// length, which a broker does only after `kill -9`.
pub(crate) fn measure(bench: &Bench, mock: &mut Mock) {
    let folder = bench.folder.path();
    let servers = mock.servers.clone();
    let config = |group: &str| {
        let path = folder.join("start.yaml");
        let text = bench.text(&servers, group, 1, &folder.join("start"));
        fs::write(&path, text).expect("there is room");
        path
    };
    let daemon = Daemon::start(&config("start"));
    while daemon.metric("driftd_records_consumed_total") < crate::RECORDS {
        thread::sleep(Duration::from_millis(50));
    }
    daemon.stop();
    println!("\nstart from a snapshot: listening, first record counted");
    let mut best = Duration::MAX;
    for round in 0..ROUNDS {
        let config = config(&format!("start-{round}"));
        mock.append();
        let daemon = Daemon::start(&config);
        let first = daemon.first_record();
        println!("{:6.1} {:6.1} ms", ms(daemon.ready), ms(first));
        best = best.min(first);
        daemon.stop();
    }
    let better = REACH.as_secs_f64() / best.as_secs_f64();
    table::row("pipeline", "start to first record counted", "150 ms", better, Some(1.0));
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
