//! The QUIC under HTTP/3: what h3 asks of a transport, by quinn. All that a server sends is counted against one bound,
//! because h3 holds a block of headers until it is whole, however long the server says it is.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use hyper::body::{Buf, Bytes};
use quinn::VarInt;

/// Bytes that are read at once.
const CHUNK: usize = 16 << 10;

type Pending<T> = Option<Pin<Box<dyn Future<Output = T> + Send + Sync>>>;
type Both = Result<(quinn::SendStream, quinn::RecvStream), quinn::ConnectionError>;

/// One connection. A clone opens streams of its own.
pub(super) struct Link {
    connection: quinn::Connection,
    accepting: Pending<Both>,
    accepting_uni: Pending<Result<quinn::RecvStream, quinn::ConnectionError>>,
    opening: Pending<Both>,
    opening_uni: Pending<Result<quinn::SendStream, quinn::ConnectionError>>,
    /// Bytes that may still be read, of all its streams.
    room: Arc<AtomicUsize>,
}

impl Link {
    /// Over `connection`, of which at most `most` bytes are read.
    pub(super) fn new(connection: quinn::Connection, most: usize) -> Self {
        Self::with_room(connection, Arc::new(AtomicUsize::new(most)))
    }

    fn with_room(connection: quinn::Connection, room: Arc<AtomicUsize>) -> Self {
        Self {
            connection,
            accepting: None,
            accepting_uni: None,
            opening: None,
            opening_uni: None,
            room,
        }
    }

    fn received(&self, stream: quinn::RecvStream) -> Receive {
        Receive { stream, room: Arc::clone(&self.room) }
    }

    fn both<B: Buf>(&self, (send, receive): (quinn::SendStream, quinn::RecvStream)) -> Bidi<B> {
        Bidi { send: Sender { stream: send, writing: None }, receive: self.received(receive) }
    }
}

impl Clone for Link {
    fn clone(&self) -> Self {
        Self::with_room(self.connection.clone(), Arc::clone(&self.room))
    }
}

/// Goes on with what is under way, or begins it.
fn poll<T, F: Future<Output = T> + Send + Sync + 'static>(
    slot: &mut Pending<T>,
    begin: impl FnOnce() -> F,
    cx: &mut Context<'_>,
) -> Poll<T> {
    let done = ready!(slot.get_or_insert_with(|| Box::pin(begin())).as_mut().poll(cx));
    *slot = None;
    Poll::Ready(done)
}

impl<B: Buf> quic::Connection<B> for Link {
    type RecvStream = Receive;
    type OpenStreams = Self;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Receive, ConnectionErrorIncoming>> {
        let connection = self.connection.clone();
        let begin = || async move { connection.accept_uni().await };
        let stream = ready!(poll(&mut self.accepting_uni, begin, cx)).map_err(of_connection)?;
        Poll::Ready(Ok(self.received(stream)))
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bidi<B>, ConnectionErrorIncoming>> {
        let connection = self.connection.clone();
        let begin = || async move { connection.accept_bi().await };
        let streams = ready!(poll(&mut self.accepting, begin, cx)).map_err(of_connection)?;
        Poll::Ready(Ok(self.both(streams)))
    }

    fn opener(&self) -> Self {
        self.clone()
    }
}

impl<B: Buf> quic::OpenStreams<B> for Link {
    type BidiStream = Bidi<B>;
    type SendStream = Sender<B>;

    fn poll_open_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bidi<B>, StreamErrorIncoming>> {
        let connection = self.connection.clone();
        let begin = || async move { connection.open_bi().await };
        let streams = ready!(poll(&mut self.opening, begin, cx)).map_err(broken)?;
        Poll::Ready(Ok(self.both(streams)))
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Sender<B>, StreamErrorIncoming>> {
        let connection = self.connection.clone();
        let begin = || async move { connection.open_uni().await };
        let stream = ready!(poll(&mut self.opening_uni, begin, cx)).map_err(broken)?;
        Poll::Ready(Ok(Sender { stream, writing: None }))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.connection.close(number(code.value()), reason);
    }
}

fn number(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

fn of_connection(error: quinn::ConnectionError) -> ConnectionErrorIncoming {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into() }
        }
        quinn::ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        error => ConnectionErrorIncoming::Undefined(Arc::new(error)),
    }
}

fn broken(error: quinn::ConnectionError) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error: of_connection(error) }
}

fn id(stream: quinn::StreamId) -> StreamId {
    let number = VarInt::from(stream).into_inner();
    // Both numbers are those of RFC 9000 §2.1.
    StreamId::try_from(number).unwrap_or_else(|_| unreachable!("a stream's number is below 2^62"))
}

/// One way of a stream, to the server.
pub(super) struct Sender<B> {
    stream: quinn::SendStream,
    writing: Option<WriteBuf<B>>,
}

impl<B: Buf> quic::SendStream<B> for Sender<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        while let Some(data) = self.writing.as_mut().filter(|data| data.has_remaining()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, data.chunk()));
            let written = written.map_err(|error| match error {
                quinn::WriteError::Stopped(code) => {
                    StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
                }
                quinn::WriteError::ConnectionLost(error) => broken(error),
                error => StreamErrorIncoming::Unknown(Box::new(error)),
            })?;
            data.advance(written);
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<D: Into<WriteBuf<B>>>(&mut self, data: D) -> Result<(), StreamErrorIncoming> {
        if self.writing.is_some() {
            return Err(StreamErrorIncoming::Unknown("it was not ready to be written to".into()));
        }
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        let finished = self.stream.finish();
        Poll::Ready(finished.map_err(|error| StreamErrorIncoming::Unknown(Box::new(error))))
    }

    fn reset(&mut self, code: u64) {
        // One that is closed needs none.
        let _ = self.stream.reset(number(code));
    }

    fn send_id(&self) -> StreamId {
        id(self.stream.id())
    }
}

/// The other way.
pub(super) struct Receive {
    stream: quinn::RecvStream,
    room: Arc<AtomicUsize>,
}

impl quic::RecvStream for Receive {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        let mut buffer = [0; CHUNK];
        let read = ready!(self.stream.poll_read(cx, &mut buffer)).map_err(|error| match error {
            quinn::ReadError::Reset(code) => {
                StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
            }
            quinn::ReadError::ConnectionLost(error) => broken(error),
            error => StreamErrorIncoming::Unknown(Box::new(error)),
        })?;
        let took = self
            .room
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(read));
        if took.is_err() {
            let why = "the server sends more than is read of one answer";
            return Poll::Ready(Err(StreamErrorIncoming::Unknown(why.into())));
        }
        Poll::Ready(Ok((read > 0).then(|| Bytes::copy_from_slice(&buffer[..read]))))
    }

    fn stop_sending(&mut self, code: u64) {
        let _ = self.stream.stop(number(code));
    }

    fn recv_id(&self) -> StreamId {
        id(self.stream.id())
    }
}

/// Both ways.
pub(super) struct Bidi<B> {
    send: Sender<B>,
    receive: Receive,
}

impl<B: Buf> quic::BidiStream<B> for Bidi<B> {
    type SendStream = Sender<B>;
    type RecvStream = Receive;

    fn split(self) -> (Sender<B>, Receive) {
        (self.send, self.receive)
    }
}

impl<B: Buf> quic::SendStream<B> for Bidi<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(cx)
    }

    fn send_data<D: Into<WriteBuf<B>>>(&mut self, data: D) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(cx)
    }

    fn reset(&mut self, code: u64) {
        self.send.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

impl<B: Buf> quic::RecvStream for Bidi<B> {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.receive.poll_data(cx)
    }

    fn stop_sending(&mut self, code: u64) {
        self.receive.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.receive.recv_id()
    }
}
