//! Frames on a stream.

use std::io;
use std::time::Duration;

use holm_mesh_proto::wire::{Frame, WireError};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Why a frame did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the stream ended: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("nothing came within {0} ms")]
    Timeout(u64),
}

/// One frame; the limit of its kind is checked before its body is allocated. Also its bytes on the
/// wire.
pub(crate) async fn read<F: Frame>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<(F, u64), ReadError> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await?;
    let length = F::body_length(header)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((F::from_bytes(&body)?, 4 + length as u64))
}

/// [`read`] with a limit in milliseconds.
pub(crate) async fn read_within<F: Frame>(
    stream: &mut (impl AsyncRead + Unpin),
    ms: u64,
) -> Result<(F, u64), ReadError> {
    match tokio::time::timeout(Duration::from_millis(ms), read(stream)).await {
        Ok(result) => result,
        Err(_) => Err(ReadError::Timeout(ms)),
    }
}
