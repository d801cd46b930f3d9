//! Any bytes, as if they came from the network.

mod flows;
mod replies;

pub use flows::feed as flows;
pub use replies::{certificates, messages, packets};

/// Between two messages of one input.
const BETWEEN: &[u8] = b"\xffHOLM\xff";

/// The messages of an input.
fn split(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(input);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let end = bytes.windows(BETWEEN.len()).position(|window| window == BETWEEN);
        rest = end.map(|end| &bytes[end + BETWEEN.len()..]);
        Some(&bytes[..end.unwrap_or(bytes.len())])
    })
}
