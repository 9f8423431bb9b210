//! A point-to-point interface as pppd and the drivers of raw-ip modems make it: no link layer, no
//! broadcast, gone with the process that made it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;

nix::ioctl_write_ptr_bad!(
    tun_set_iff,
    nix::request_code_write!(b'T', 202, size_of::<libc::c_int>()),
    libc::ifreq
);

/// A TUN interface of this thread's namespace; it vanishes when this is dropped.
pub(crate) struct Tun {
    device: File,
}

impl Tun {
    /// Makes it, down and without an address.
    #[expect(unsafe_code, reason = "ioctl on /dev/net/tun has no safe form")]
    pub(crate) fn make(name: &str) -> Self {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true);
        let device = options.open("/dev/net/tun").expect("/dev/net/tun");
        let flags = libc::IFF_TUN | libc::IFF_NO_PI;
        let mut request = libc::ifreq {
            ifr_name: [0; libc::IFNAMSIZ],
            ifr_ifru: libc::__c_anonymous_ifr_ifru {
                ifru_flags: libc::c_short::try_from(flags).expect("flags"),
            },
        };
        for (slot, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *slot = byte.cast_signed();
        }
        // SAFETY: the descriptor is open and `request` is a whole `ifreq` that outlives the call.
        unsafe { tun_set_iff(device.as_raw_fd(), &raw const request) }.expect("an interface");
        Self { device }
    }

    /// Its far end answers packets from now on.
    pub(crate) fn answer(mut self, answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) {
        std::thread::spawn(move || {
            let mut packet = [0; 1500];
            while let Ok(length) = self.device.read(&mut packet) {
                let answer = answer(&packet[..length]);
                // The interface may be gone.
                drop(answer.map(|answer| self.device.write_all(&answer)));
            }
        });
    }
}
