//! Receivers that cannot even be spoken to: a name that leads nowhere, a certificate that has expired.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use driftd::client::{Client, ClientConfig};
use driftd::decide::announcement::Data;
use driftd::decide::{Announcement, Audience, Delivery, Kind};
use driftd::deliver::{Deliverer, Event, Outcome, Pending, Schedule, Target, Trigger};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::servers;

#[expect(clippy::disallowed_methods, reason = "the tests' own clock")]
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// What came of the first attempts to tell a receiver of a drift.
async fn attempts(trigger: Trigger, wanted: usize) -> Vec<(Outcome, String)> {
    let client = Client::new(&ClientConfig::default()).unwrap();
    let target = Target::trigger("fraud", &trigger, &client).unwrap();
    let target = target.with_schedule(Schedule::default().scaled(0.000_1));
    let (sender, mut events) = mpsc::channel(16);
    let deliverer = Deliverer::start(vec![target], sender, now_ms);
    let announcement = Announcement {
        event_type: "driftd.drift.detected".to_owned(),
        id: "the-id".to_owned(),
        timestamp: "2026-01-01T00:05:00Z".to_owned(),
        data: Data::default(),
    };
    let delivery = Delivery {
        id: "the-id".to_owned(),
        target: "retraining_trigger".to_owned(),
        channel: None,
        model: "fraud".to_owned(),
        kind: Kind::Trigger,
        audience: Audience::Ml,
        announcement,
    };
    deliverer
        .enqueue(Pending { delivery, attempts: 0, first_attempt_ms: None, unanswered_ms: None })
        .unwrap();
    let mut told = Vec::new();
    while told.len() < wanted {
        let event = tokio::time::timeout(Duration::from_secs(60), events.recv());
        match event.await.expect("an outcome in time").unwrap() {
            Event::Attempting { ack, .. } => ack.send(Some(Instant::now())).unwrap(),
            Event::Outcome { id, result, detail, .. } => {
                assert_eq!(id, "the-id");
                told.push((result, detail));
            }
            Event::Run { .. } => panic!("nothing was started"),
        }
    }
    told
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_tried_again() {
    let trigger = Trigger {
        allow_http: true,
        timeout: "10s".parse().unwrap(),
        ..Trigger::new("http://nowhere.invalid/retrain".to_owned())
    };
    for (result, detail) in attempts(trigger, 3).await {
        assert_eq!(result, Outcome::Retry, "{detail}");
        assert!(detail.len() > 5, "{detail}");
    }
}

/// A server with a certificate of an authority that the client trusts; ended on drop.
struct Tls(Child, u16);

impl Drop for Tls {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn openssl(dir: &Path, args: &str) {
    let done = Command::new("openssl").current_dir(dir).args(args.split(' ')).output().unwrap();
    assert!(done.status.success(), "{args}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Tls {
    /// Whose certificate is valid for so many days from now.
    fn start(dir: &Path, days: &str) -> Self {
        openssl(
            dir,
            "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=ca",
        );
        openssl(
            dir,
            "req -new -newkey rsa:2048 -nodes -keyout leaf.key -out leaf.csr -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1",
        );
        openssl(
            dir,
            &format!(
                "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -copy_extensions copy -out leaf.pem"
            ),
        );
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = format!("s_server -accept 127.0.0.1:{free} -cert leaf.pem -key leaf.key -www");
        let child = Command::new("openssl")
            .current_dir(dir)
            .args(server.split(' '))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let tls = Self(child, free);
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", free)).is_ok() {
                return tls;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("openssl s_server does not listen");
    }
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_refused_and_tried_again() {
    if Command::new("openssl").arg("version").output().is_err() {
        assert!(!servers::all_required(), "openssl is not installed");
        return servers::skip("openssl is not installed");
    }
    let dir = tempfile::tempdir().unwrap();
    let trigger = |port: u16| Trigger {
        ca_file: Some(dir.path().join("ca.pem")),
        timeout: "10s".parse().unwrap(),
        ..Trigger::new(format!("https://localhost:{port}/retrain"))
    };
    let expired = Tls::start(dir.path(), "-1");
    for (result, detail) in attempts(trigger(expired.1), 2).await {
        assert!(matches!(result, Outcome::Retry | Outcome::SlowRetry), "{detail}");
        assert!(detail.contains("certificate") && detail.contains("xpired"), "{detail}");
    }
    drop(expired);
    // The same with one that is valid is spoken to: s_server answers POST with its page or an error.
    let valid = Tls::start(dir.path(), "5");
    let (_, detail) = attempts(trigger(valid.1), 1).await.remove(0);
    assert!(!detail.contains("certificate"), "{detail}");
}
