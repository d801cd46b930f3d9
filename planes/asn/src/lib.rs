//! Whose an address is and where: autonomous systems, countries and places by prefix, from the operator's own tables,
//! offline.
//!
//! What comes in: a file (MaxMind's format, or text). What goes out: the number, the name and the country of
//! the longest prefix that holds an address. What must never happen: a question to anybody else, or a file
//! that is read while it is being written.

mod places;
mod ranges;
mod stamp;
mod table;

pub use places::{Place, Places, PlacesError};
pub use ranges::Ranges;
pub use stamp::FileChanges;
pub use table::{AsTable, AsTableError, Origin};

use std::net::IpAddr;

/// An IPv4 address in 16 bytes, as `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2).
#[inline]
pub const fn mapped(v4: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = v4;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// Any address in 16 bytes.
pub const fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => mapped(v4.octets()),
        IpAddr::V6(v6) => v6.octets(),
    }
}
