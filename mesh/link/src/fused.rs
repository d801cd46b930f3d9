//! A stream that stays broken once it broke.
//!
//! multistream-select's lazy negotiation panics when a stream is touched again after a read that failed
//! before the protocol was confirmed; with a reader and a writer in tasks of their own, that is what
//! happens when a connection breaks early.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// `inner`, which is not touched any more after its first error.
pub(crate) struct Fused<S> {
    inner: S,
    broken: bool,
}

impl<S: Unpin> Fused<S> {
    pub(crate) const fn new(inner: S) -> Self {
        Self { inner, broken: false }
    }

    fn unless_broken<T>(
        &mut self,
        poll: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.broken {
            let error = io::Error::new(io::ErrorKind::BrokenPipe, "the stream broke before");
            return Poll::Ready(Err(error));
        }
        let result = poll(Pin::new(&mut self.inner));
        self.broken = matches!(result, Poll::Ready(Err(_)));
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Fused<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.unless_broken(|inner| inner.poll_read(cx, buffer))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Fused<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.unless_broken(|inner| inner.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.unless_broken(|inner| inner.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.unless_broken(|inner| inner.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Fails once, and panics when it is touched again.
    struct Once(bool);

    impl Once {
        fn fail<T>(&mut self) -> Poll<io::Result<T>> {
            assert!(!self.0, "touched after it broke");
            self.0 = true;
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }
    }

    impl AsyncRead for Once {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.fail()
        }
    }

    impl AsyncWrite for Once {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.fail()
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.fail()
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.fail()
        }
    }

    #[tokio::test]
    async fn what_broke_is_not_touched_again() {
        let (mut reader, mut writer) = tokio::io::split(Fused::new(Once(false)));
        assert!(reader.read_u8().await.is_err());
        assert!(writer.write_all(b"x").await.is_err());
        assert!(writer.flush().await.is_err());
        assert!(writer.shutdown().await.is_err());
    }
}
