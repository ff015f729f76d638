//! Whether the source may ask, and whether it may trust what answers.

use std::fs;

use gracetrace::identity::kubernetes::KubernetesError;

use super::fixture;
use super::follower::{Follower, open, pace};
use super::server::Server;

/// A token that is not good any more is read again; it is not asked for in the same breath.
#[tokio::test]
async fn a_token_that_is_replaced() {
    let events = fixture::watch("exec-prestop");
    let mut server = Server::start();
    server.push(&events[..4]);
    let mut follower = Follower::start(&server).await;
    follower.until("the list", |follower| !follower.lists().is_empty()).await;
    // The server takes another one; the file still holds the old.
    server.leave();
    server.state().token = "second".to_owned();
    server.push(&events[4..5]);
    server.come();
    let refused = server.state().requests.len() + 3;
    follower.wait("it is refused", |_| server.state().requests.len() >= refused).await;
    server.write_token("second");
    follower.until("the deletion", |follower| follower.told.len() > 1).await;
    follower.wait("all is well", |follower| !follower.health.is_failing()).await;
    assert_eq!(follower.lists().len(), 1, "it goes on where it was");
}

/// A certificate that no known authority has signed is no reason to stop asking, nor to say anything to that server.
#[tokio::test]
async fn a_server_that_cannot_be_trusted() {
    let server = Server::start();
    let good = fs::read(server.kubeconfig().with_file_name("ca.crt")).expect("the authority");
    server.write_strange_authority();
    let mut follower = Follower::start(&server).await;
    follower.wait("failures", |follower| follower.health.errors() >= 3).await;
    assert_eq!(server.state().requests.len(), 0);
    // The right one appears, as when authorities are rotated.
    fs::write(server.kubeconfig().with_file_name("ca.crt"), good).expect("the authority");
    follower.until("the list", |follower| !follower.lists().is_empty()).await;
}

#[tokio::test]
async fn what_is_wrong_at_the_start() {
    let server = Server::away();
    let refused =
        async |node: Option<&str>| open(&server, pace(), node).await.err().expect("it is refused").to_string();
    for node in [None, Some("")] {
        let message = refused(node).await;
        assert!(["--node-name", "NODE_NAME", "downward API"].iter().all(|part| message.contains(part)), "{message}");
    }
    assert!(refused(Some("node1,status.phase=Running")).await.contains("node1,status.phase"));
    assert!(open(&server, pace(), Some("ip-10-0-0-7.eu-west-1.compute.internal")).await.is_ok(), "it may be away");
    fs::remove_file(server.kubeconfig().with_file_name("ca.crt")).expect("the authority goes");
    let error = open(&server, pace(), Some("node1")).await.err();
    let Some(KubernetesError::Config(cause)) = error else { panic!("{error:?}") };
    assert!(cause.contains("ca.crt"), "{cause}");
    fs::write(server.kubeconfig(), "clusters: [").expect("a broken kubeconfig");
    let message = refused(Some("node1")).await;
    assert!(message.contains("KUBECONFIG") && message.lines().count() == 1, "{message}");
    fs::remove_file(server.kubeconfig()).expect("the kubeconfig goes");
    assert!(refused(Some("node1")).await.contains("kubeconfig"));
}
