//! A yardstick for how soon something is answered: what one byte to and fro takes between two threads of
//! this program, which no machine is too slow for.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A status may take so many bare exchanges: the agent wakes up once, parses a line and writes one,
/// unoptimised. One that waits for a timer of some milliseconds takes hundreds.
pub(crate) const MOST: f64 = 50.0;

const ROUNDS: usize = 200;

/// How many bare exchanges one call of `ask` takes; the two take turns, and each counts by its median.
pub(crate) fn times_bare_exchange(mut ask: impl FnMut()) -> f64 {
    let (mut near, mut far) = UnixStream::pair().expect("a pair of sockets");
    let echo = std::thread::spawn(move || {
        let mut byte = [0];
        while far.read_exact(&mut byte).is_ok() && far.write_all(&byte).is_ok() {}
    });
    let (mut bare, mut asked) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(time(|| {
            near.write_all(&[1]).expect("the echo lives");
            near.read_exact(&mut [0]).expect("the echo lives");
        }));
        asked.push(time(&mut ask));
    }
    drop(near);
    echo.join().expect("the echo ends");
    median(asked).as_secs_f64() / median(bare).as_secs_f64()
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn time(mut act: impl FnMut()) -> Duration {
    let begin = Instant::now();
    act();
    begin.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
