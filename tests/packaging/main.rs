//! What is installed beside the program.

mod hooks;
mod openwrt;
