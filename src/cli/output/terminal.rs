//! How wide the terminal is.

use std::os::fd::AsRawFd;

/// The columns of the terminal at standard output; none if it is no terminal, or does not say.
#[expect(unsafe_code, reason = "only the kernel knows how wide a terminal is")]
pub(super) fn width() -> Option<usize> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let stdout = std::io::stdout().as_raw_fd();
    // SAFETY: the pointer is to a `winsize`, as this request of ioctl_tty(2) wants, and is valid for
    // the call.
    let outcome = unsafe { libc::ioctl(stdout, libc::TIOCGWINSZ, &raw mut size) };
    (outcome == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}
