//! One connection: hyper, and a limit on the time of each phase.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

use super::slots::{Phase, Slot};
use super::{State, routes};

/// Serves one connection to its end.
pub(super) async fn run(stream: TcpStream, slot: Slot, state: Arc<State>, mut stopping: watch::Receiver<bool>) {
    let slot = Arc::new(slot);
    let mut phase = slot.phase();
    // Small answers must not wait for an acknowledgement. A socket that has died already will say so soon.
    let _ = stream.set_nodelay(true);
    // What a peer that is gone has not acknowledged by then ends the connection: a stream has nothing else to notice it by.
    let patience = u32::try_from(state.limits.answer_time.as_millis()).unwrap_or(u32::MAX);
    let _ = sockopt::set_tcp_user_timeout(&stream, patience);
    let service = service_fn(|request: Request<Incoming>| {
        slot.enter(Phase::Answer);
        let (state, slot) = (Arc::clone(&state), Arc::clone(&slot));
        async move {
            let mut response = routes::answer(&state, &request).await;
            state.metrics.agent.observe_request(response.status().as_u16());
            // Bodies are not read. Without this, hyper would have to read one to find the next request.
            if !request.body().is_end_stream() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response.body_mut().belongs_to(slot);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None) // Ours tells an idle connection from a slow one.
        .max_header_size(state.limits.header_bytes)
        .max_headers(state.limits.headers)
        .max_buf_size(state.limits.header_bytes.max(8 << 10)) // hyper takes no less.
        .serve_connection(TokioIo::new(Watched { stream, slot: slot.clone() }), service);
    tokio::pin!(connection);
    let limit = sleep(Phase::New.limit(&state.limits));
    tokio::pin!(limit);
    let mut graceful = false;
    loop {
        tokio::select! {
            _ = connection.as_mut() => return, // An error is the client's: there is nobody to tell.
            changed = phase.changed() => {
                let now = *phase.borrow_and_update();
                if changed.is_err() || now == Phase::Out {
                    return;
                }
                limit.set(sleep(now.limit(&state.limits)));
            }
            () = &mut limit => {
                let reason = match *phase.borrow() {
                    Phase::New | Phase::Idle => "idle",
                    Phase::Request => "slow_request",
                    Phase::Answer | Phase::Streaming | Phase::Out => "slow_reader",
                };
                state.metrics.agent.observe_closed(reason);
                return;
            }
            _ = stopping.wait_for(|stop| *stop), if !graceful => {
                graceful = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// A stream that tells its slot when a request begins to come in.
struct Watched {
    stream: TcpStream,
    slot: Arc<Slot>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.slot.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
