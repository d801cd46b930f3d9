//! The few system calls that the standard library does not have.
#![allow(unsafe_code)] // each call is one line, with the reason why it is sound

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Time since the machine was started, sleep included (`CLOCK_BOOTTIME`): the clock of kernel events.
pub(crate) fn boot_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of our own. The call fails only for an unknown clock.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// Waits for `file` to become readable.
///
/// # Errors
/// It cannot be waited for, or too many files are open.
pub(crate) fn readable(file: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd names one open file for as long as it lives, and the AsyncFd owns it.
    unsafe { AsyncFd::register_with_interest(file, Interest::READABLE) }.map_err(Into::into)
}

/// Mounts tracefs at `target`.
///
/// # Errors
/// The kernel refuses: no privilege, or no tracefs in it.
pub(crate) fn mount_tracefs(target: &CStr) -> io::Result<()> {
    let name = c"tracefs".as_ptr();
    // SAFETY: the strings end in NUL and outlive the call; no data is passed.
    let done = unsafe {
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        libc::mount(name, target.as_ptr(), name, flags, std::ptr::null())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The name of the running kernel, such as `6.18.44`.
pub(crate) fn kernel_release() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}
