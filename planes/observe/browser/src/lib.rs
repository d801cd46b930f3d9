//! Checks through a real browser: Chromium, headless, driven over a pipe.
//!
//! What comes in: steps, the program, and a [`Dialer`] that says which addresses may be dialled. What goes out: a
//! [`Report`] with the steps, web vitals, requests and a picture. What must never happen: a packet of the browser that
//! does not go by the run's own proxy, a browser that outlives its run, or one without a sandbox that nobody asked for.

mod find;
mod page;
mod process;
mod proxy;
mod report;
mod requests;
mod run;
mod step;
#[cfg(test)]
mod tests;
mod wire;

pub use find::find;
pub use process::Browser;
pub use proxy::{Address, Dialer, Refusal};
pub use report::{Picture, Report, Request, StepReport, Vitals};
pub use run::{MAX_BYTES, run};
pub use step::{Expect, KEYS, Step, Text};
