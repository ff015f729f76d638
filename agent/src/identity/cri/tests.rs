use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tonic::codegen::tokio_stream;
use tonic::service::Routes;
use tonic::transport::Server;

use super::*;

const SOON: Duration = Duration::from_secs(20);

fn noon() -> BootTime {
    BootTime(12)
}

/// A socket of this name, with somebody behind it.
struct Peer {
    dir: TempDir,
    listener: UnixListener,
}

impl Peer {
    fn new() -> Peer {
        let dir = TempDir::new().unwrap();
        let listener = UnixListener::bind(dir.path().join("runtime.sock")).unwrap();
        Peer { dir, listener }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("runtime.sock")
    }

    /// Says this to everybody who comes, and no more.
    fn say(self, words: &'static [u8]) -> TempDir {
        tokio::spawn(async move {
            let mut connections = Vec::new();
            loop {
                let (mut connection, _) = self.listener.accept().await.unwrap();
                // Fails when the other side has gone already.
                let _ = connection.write_all(words).await;
                connections.push(connection);
            }
        });
        self.dir
    }

    /// Speaks gRPC, and serves nothing.
    fn serve_nothing(self) -> TempDir {
        tokio::spawn(async move {
            loop {
                let (connection, _) = self.listener.accept().await.unwrap();
                let once = tokio_stream::once(Ok::<_, std::io::Error>(connection));
                Server::builder().add_routes(Routes::default()).serve_with_incoming(once).await.unwrap();
            }
        });
        self.dir
    }
}

async fn ask(path: &Path) -> Result<(), CriError> {
    let client = Client::connect_within(path, Duration::from_millis(200)).await?;
    client.list().await.map(|_| ())
}

#[tokio::test]
async fn a_socket_that_is_not_there() {
    let error = ask(Path::new("/nowhere/containerd.sock")).await.unwrap_err();
    let said = error.to_string();
    assert!(
        said.starts_with("cannot connect to the container runtime at /nowhere/containerd.sock: No such file"),
        "{said}"
    );
    assert!(said.contains("--cri"), "{said}");
}

#[tokio::test]
async fn a_socket_that_nobody_listens_at() {
    let peer = Peer::new();
    let path = peer.path();
    let _dir = peer.dir;
    drop(peer.listener);
    let said = ask(&path).await.unwrap_err().to_string();
    assert!(said.contains("Connection refused") && said.contains("nobody listens"), "{said}");
}

#[tokio::test]
async fn a_socket_that_nobody_accepts_at() {
    let peer = Peer::new();
    let mut waiting = Vec::new();
    // Until the backlog is full, which would block.
    loop {
        let socket = rustix::net::socket_with(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::NONBLOCK,
            None,
        )
        .unwrap();
        let address = rustix::net::SocketAddrUnix::new(peer.path()).unwrap();
        match rustix::net::connect(&socket, &address) {
            Ok(()) => waiting.push(StdStream::from(socket)),
            Err(_) => break,
        }
    }
    let error = ask(&peer.path()).await.unwrap_err();
    assert!(matches!(error, CriError::Connect { .. }), "{error}");
}

#[tokio::test]
async fn a_runtime_that_hangs() {
    let peer = Peer::new();
    let path = peer.path();
    let _dir = peer.say(b"");
    let error = ask(&path).await.unwrap_err();
    assert!(matches!(error, CriError::Timeout { call: "ListContainers", .. }), "{error}");
}

#[tokio::test]
async fn something_that_is_no_runtime() {
    for words in [&b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..], &[0xff; 70_000], b"220 smtp\r\n"] {
        let peer = Peer::new();
        let path = peer.path();
        let _dir = peer.say(words);
        let error = ask(&path).await.unwrap_err();
        assert!(matches!(error, CriError::Call { is_answer: false, .. }), "{error:?}");
        assert!(
            error
                .to_string()
                .starts_with(&format!("the container runtime at {} failed ListContainers: ", path.display()))
        );
    }
}

#[tokio::test]
async fn a_server_without_cri() {
    let peer = Peer::new();
    let path = peer.path();
    let _dir = peer.serve_nothing();
    let error = ask(&path).await.unwrap_err();
    assert!(matches!(error, CriError::NotCri { .. }), "{error:?}");
    assert!(error.to_string().contains("disabled_plugins"), "{error}");
}

/// Runs against this socket until it has failed so often; gives what it sent.
async fn fail(path: PathBuf, errors: u64) -> Arc<Health> {
    let cri = Cri::new(Socket::At(path), Arc::default(), noon);
    let health = cri.health();
    let (sender, mut updates) = mpsc::channel(1);
    let running = tokio::spawn(cri.run(sender));
    let failed = async {
        while health.errors() < errors {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, failed).await.expect("it should have failed by now");
    assert!(updates.try_recv().is_err(), "nothing was sent");
    drop(updates);
    timeout(SOON, running).await.expect("it ends when nobody listens").unwrap();
    health
}

#[tokio::test]
async fn failures_are_counted_and_it_is_tried_again() {
    let health = fail(PathBuf::from("/nowhere/containerd.sock"), 2).await;
    assert!(health.is_failing() && health.good_at().is_none() && !health.is_unused());
    let peer = Peer::new();
    let path = peer.path();
    let _dir = peer.serve_nothing();
    assert!(fail(path, 2).await.is_failing());
}

#[tokio::test]
async fn a_runtime_that_hangs_does_not_hold_up_the_end() {
    let peer = Peer::new();
    let path = peer.path();
    let cri = Cri::new(Socket::At(path), Arc::default(), noon);
    let (sender, updates) = mpsc::channel(1);
    let running = tokio::spawn(cri.run(sender));
    let (_connection, _) = peer.listener.accept().await.unwrap();
    drop(updates);
    timeout(Duration::from_secs(5), running).await.expect("it ends at once").unwrap();
}
