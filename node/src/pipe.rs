//! `holm status | head`: a command ends with the one who reads it.
#![allow(unsafe_code)] // one call, with the reason why it is sound

/// Gives SIGPIPE its default meaning back, which Rust's start takes away: writing to a pipe that
/// nobody reads ends the process without a word, as everywhere on a command line.
///
/// Not for what must clean up: a node, a demo.
pub(crate) fn end_with_the_reader() {
    // SAFETY: SIG_DFL runs no code of ours, and no other thread runs yet that could be disturbed.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}
