//! An API server: TLS, a token, and faults on demand.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::answers::answer;
use super::history::History;

/// What requests are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    List,
    Watch,
    Events,
}

/// What goes wrong with one answer.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Another status.
    Refuse(u16, String),
    /// A watch that says this code as an event and ends.
    Event(u16),
    /// A watch that breaks off in the middle of the line after so many; a list in its middle.
    CutAfter(usize),
    /// One byte at a time.
    ByteByByte,
    /// Not JSON, not even text.
    Garbage,
    /// A line that does not end.
    Endless,
    /// The answer begins, and then nothing.
    Silent,
    /// Not even that.
    Hang,
}

/// What the server and the test share.
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) changed: watch::Sender<()>,
}

/// See [`Shared::state`].
pub(crate) struct State {
    pub(crate) history: History,
    /// Objects of the API's events.
    pub(crate) events: Vec<Value>,
    pub(crate) token: String,
    /// Path and query of each.
    pub(crate) requests: Vec<String>,
    faults: BTreeMap<Kind, VecDeque<Option<Fault>>>,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test has panicked with it")
    }
}

impl State {
    pub(crate) fn next_fault(&mut self, kind: Kind) -> Option<Fault> {
        self.faults.get_mut(&kind)?.pop_front()?
    }

    pub(crate) fn faults_left(&self, kind: Kind) -> usize {
        self.faults.get(&kind).map_or(0, VecDeque::len)
    }

    /// How often something was asked for.
    pub(crate) fn asked(&self, part: &str) -> usize {
        self.requests.iter().filter(|request| request.contains(part)).count()
    }
}

/// A server with a certificate of its own authority; away until it is started. Gone when dropped.
pub(crate) struct Server {
    shared: &'static Shared,
    folder: TempDir,
    address: SocketAddr,
    /// Holds the port while nobody listens.
    reserved: Option<TcpSocket>,
    acceptor: TlsAcceptor,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    /// One that is not there yet: connections to it are refused.
    pub(crate) fn away() -> Server {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("a reusable address");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let address = socket.local_addr().expect("an address");
        let folder = TempDir::new().expect("a folder");
        let (acceptor, authority) = certificates();
        fs::write(folder.path().join("ca.crt"), authority).expect("the authority's certificate");
        let state = State {
            history: History::default(),
            events: Vec::new(),
            token: String::new(),
            requests: Vec::new(),
            faults: BTreeMap::new(),
        };
        // Answers outlive every borrow; a few kilobytes per test are no loss.
        let shared = Box::leak(Box::new(Shared { state: Mutex::new(state), changed: watch::Sender::new(()) }));
        let server = Server { shared, folder, address, reserved: Some(socket), acceptor, running: None };
        server.set_token("first");
        server.write_kubeconfig();
        server
    }

    /// One that is there.
    pub(crate) fn start() -> Server {
        let mut server = Server::away();
        server.come();
        server
    }

    /// Begins to listen.
    pub(crate) fn come(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let (reserved, address) = (self.reserved.take(), self.address);
        let (shared, acceptor) = (self.shared, self.acceptor.clone());
        let (ready, listens) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = match reserved {
                    Some(socket) => socket.listen(64).expect("a listener"),
                    None => TcpListener::bind(address).await.expect("the same port again"),
                };
                ready.send(()).expect("the test waits");
                tokio::select! { () = serve(shared, listener, acceptor) => {} _ = stopped => {} }
            });
        });
        listens.recv().expect("the server listens");
        self.running = Some(Running { stop, thread });
    }

    /// Goes away: every connection breaks off, and new ones are refused.
    pub(crate) fn leave(&mut self) {
        if let Some(Running { stop, thread }) = self.running.take() {
            drop(stop);
            let _ = thread.join();
        }
    }

    /// Breaks every connection off, and comes again without memory of what was.
    pub(crate) fn leave_and_forget(&mut self) {
        self.leave();
        self.state().history.compact();
        self.come();
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Something has happened in the cluster.
    pub(crate) fn push(&self, events: &[Value]) {
        for event in events {
            self.state().history.push(event);
        }
        self.shared.changed.send_replace(());
    }

    pub(crate) fn bookmark(&self) {
        self.state().history.bookmark();
        self.shared.changed.send_replace(());
    }

    /// The answers to the next requests of a kind go wrong so.
    pub(crate) fn fail_next(&self, kind: Kind, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.entry(kind).or_default().extend(faults.into_iter().map(Some));
    }

    /// Another token from now on, in the server and in the file that the kubeconfig names.
    pub(crate) fn set_token(&self, token: &str) {
        self.state().token = token.to_owned();
        self.write_token(token);
    }

    /// Another one in the file alone.
    pub(crate) fn write_token(&self, token: &str) {
        fs::write(self.folder.path().join("token"), token).expect("the token");
    }

    /// Has clients expect another authority.
    pub(crate) fn write_strange_authority(&self) {
        fs::write(self.folder.path().join("ca.crt"), certificates().1).expect("another certificate");
    }

    fn write_kubeconfig(&self) {
        let (folder, address) = (self.folder.path().display(), self.address);
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             contexts:\n- name: test\n  context: {{cluster: test, user: test}}\n\
             clusters:\n- name: test\n  cluster: {{server: \"https://{address}\", certificate-authority: {folder}/ca.crt}}\n\
             users:\n- name: test\n  user: {{tokenFile: {folder}/token}}\n"
        );
        fs::write(self.kubeconfig(), text).expect("the kubeconfig");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.leave();
    }
}

async fn serve(shared: &'static Shared, listener: TcpListener, acceptor: TlsAcceptor) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.expect("a connection");
                connections.spawn(connection(shared, stream, acceptor.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(shared: &'static Shared, stream: tokio::net::TcpStream, acceptor: TlsAcceptor) {
    // A client that does not trust the certificate says so, and is gone.
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| async move { Ok::<_, Infallible>(answer(shared, &request).await) });
    // Ends in an error when an answer was cut on purpose, and when the client leaves.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// A certificate for the server, and that of the authority that has signed it, as PEM.
fn certificates() -> (TlsAcceptor, String) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names are no bad names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = params.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![Ipv4Addr::LOCALHOST.to_string()]).expect("an address is a good name");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.der().to_vec())],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .expect("a certificate that fits its key");
    (TlsAcceptor::from(Arc::new(config)), authority)
}
