//! The text of policies: what somebody decided, in YAML or JSON, and filters of rows in it.
//!
//! What comes in: the text of a file ([`read`]), conditions over rows ([`Predicate::parse`]). What goes out: a
//! tree in which every value knows its line and column ([`Node`]), a reader that refuses each field that nobody
//! looked at ([`Fields`]), and all that is wrong with a file ([`Refused`]). What must never happen: a field that
//! is passed over, a value that is not what it looks like, a panic or endless work over what somebody sent.

mod fields;
mod marked;
mod objects;
mod predicate;
mod problem;

pub use fields::{Fields, Problems, text_of};
pub use marked::{MAX_FILE_BYTES, Node, Value, documents, read};
pub use objects::objects;
pub use predicate::{Literal, Operator, Predicate, Unread, quoted};
pub use problem::{Mark, Problem, Refused};
