//! The HTTP client against servers that ask who it is, and names that lead elsewhere the second time.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use driftd::client::{Client, ClientConfig, Error, Lookup, Refused};
use driftd::http::TlsConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

use crate::certificates::{Authority, Signed};
use crate::http::Running;

const PATIENCE: Duration = Duration::from_secs(30);

fn reading(ca: &Path, shown: Option<&Signed>) -> ClientConfig {
    ClientConfig {
        ca_file: Some(ca.to_owned()),
        cert_file: shown.map(|shown| shown.cert.clone()),
        key_file: shown.map(|shown| shown.key.clone()),
        ..ClientConfig::default()
    }
}

async fn ask(config: &ClientConfig, url: &str) -> Result<u16, String> {
    let client = Client::new(config).unwrap();
    let answer = client.get(&Url::parse(url).unwrap(), PATIENCE).await;
    answer.map(|answer| answer.status).map_err(|error| error.to_string())
}

/// The listeners are the server at hand that asks for certificates.
async fn server(certificate: &Signed, client_ca: &Path) -> (Running, String) {
    let tls = TlsConfig {
        cert_file: certificate.cert.clone(),
        key_file: certificate.key.clone(),
        client_ca_file: Some(client_ca.to_owned()),
    };
    let running = Running::start(|config| config.public_tls = Some(tls)).await;
    let url = format!("https://{}/metrics", running.servers.public_addr());
    (running, url)
}

#[tokio::test]
async fn a_target_that_asks_for_a_certificate_is_shown_the_one_that_is_there_now() {
    let dir = tempfile::tempdir().unwrap();
    let ours = Authority::new(dir.path(), "ours");
    let (_running, url) = server(&ours.sign("server"), &ours.path()).await;
    assert_eq!(ask(&reading(&ours.path(), None), &url).await, Ok(403), "it shows none");

    let shown = ours.sign_expired("driftd");
    let config = reading(&ours.path(), Some(&shown));
    let client = Client::new(&config).unwrap();
    let get = async || client.get(&Url::parse(&url).unwrap(), PATIENCE).await;
    let expired = get().await.unwrap_err().to_string();
    assert!(expired.contains("`cert_file` is to be renewed"), "{expired}");
    // The same files, renewed while the client lives.
    ours.sign("driftd");
    assert_eq!(get().await.unwrap().status, 200);
    fs::write(&shown.key, "half written").unwrap();
    assert_eq!(get().await.unwrap().status, 200, "what cannot be used changes nothing");
    let stranger = Authority::new(dir.path(), "theirs").sign("stranger");
    let refused = ask(&reading(&ours.path(), Some(&stranger)), &url).await.unwrap_err();
    assert!(refused.contains("`cert_file`"), "{refused}");
}

#[tokio::test]
async fn a_certificate_that_is_not_believed_is_an_error_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(dir.path(), "ours"), Authority::new(dir.path(), "theirs"));
    let (running, url) = server(&ours.sign("server"), &ours.path()).await;
    let unknown = ask(&reading(&theirs.path(), None), &url).await.unwrap_err();
    assert!(unknown.contains("`ca_file` must hold"), "{unknown}");
    drop(running);
    let (_old, url) = server(&ours.sign_expired("old"), &ours.path()).await;
    let expired = ask(&reading(&ours.path(), None), &url).await.unwrap_err();
    assert!(expired.contains("renewed there"), "{expired}");
}

/// A server that takes one request a connection, and how often it was asked.
async fn counting() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            if stream.read(&mut head).await.is_ok_and(|n| n > 0) {
                count.fetch_add(1, Ordering::SeqCst);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_name_that_is_bound_anew_after_the_check_leads_nowhere() {
    let (address, asked) = counting().await;
    let lookups = Arc::new(AtomicUsize::new(0));
    let counted = lookups.clone();
    // Harmless at first, the metadata service at every later look.
    let lookup: Lookup = Arc::new(move |_| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        let found = if first { address } else { "169.254.169.254:0".parse().unwrap() };
        Box::pin(async move { Ok::<_, io::Error>(vec![found]) })
    });
    let client = Client::with_lookup(&ClientConfig::default(), lookup).unwrap();
    let url = Url::parse(&format!("http://rebinding.example:{}/", address.port())).unwrap();
    assert_eq!(client.get(&url, PATIENCE).await.unwrap().status, 200);
    // What was looked up is what was connected to: nothing is asked twice for one connection.
    assert_eq!((lookups.load(Ordering::SeqCst), asked.load(Ordering::SeqCst)), (1, 1));
    for n in 2..4 {
        let error = client.get(&url, PATIENCE).await.unwrap_err();
        let refused = matches!(&error, Error::Refused { why: Refused::Address(_), .. });
        assert!(refused, "{error}");
        assert_eq!((lookups.load(Ordering::SeqCst), asked.load(Ordering::SeqCst)), (n, 1));
    }
}

#[tokio::test]
async fn a_name_for_this_machine_by_the_address_of_none_is_refused() {
    for address in ["0.0.0.0:80", "[::]:80", "[::ffff:0.0.0.0]:80", "100.100.100.200:80"] {
        let address: SocketAddr = address.parse().unwrap();
        let lookup: Lookup =
            Arc::new(move |_| Box::pin(async move { Ok::<_, io::Error>(vec![address]) }));
        let client = Client::with_lookup(&ClientConfig::default(), lookup).unwrap();
        let url = Url::parse("http://receiver.example/").unwrap();
        let error = client.get(&url, PATIENCE).await.unwrap_err();
        assert!(matches!(&error, Error::Refused { .. }), "{address}: {error}");
    }
}
