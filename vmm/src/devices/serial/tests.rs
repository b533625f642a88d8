use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::super::event_latch::drain;
use super::*;

const DATA: u64 = 0;
const INTERRUPT_ENABLE: u64 = 1;
const LINE_STATUS: u64 = super::LINE_STATUS as u64;
const DATA_READY: u8 = 1;
const ENABLE_RECEIVE: u8 = 0b01;
const ENABLE_TRANSMIT: u8 = 0b10;
const PATIENCE: Duration = Duration::from_secs(10);

/// A reader that gets every write as a message.
struct ToChannel(Sender<Vec<u8>>);

impl Write for ToChannel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe.into()).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that takes nothing until it is told to go on.
struct Stopped {
    go_on: Receiver<()>,
    inner: ToChannel,
}

impl Write for Stopped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.go_on.recv();
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn irq() -> EventFd {
    EventFd::new(EFD_NONBLOCK).unwrap()
}

fn port() -> (SerialPort, Receiver<Vec<u8>>) {
    let (sender, receiver) = channel();
    (SerialPort::new(irq(), Box::new(ToChannel(sender))).unwrap(), receiver)
}

/// A port, the wire that lets its reader go on, and what the reader got.
fn stopped_port(irq: EventFd) -> (SerialPort, Sender<()>, Receiver<Vec<u8>>) {
    let (sender, receiver) = channel();
    let (go_on, wait) = channel();
    let out = Stopped { go_on: wait, inner: ToChannel(sender) };
    (SerialPort::new(irq, Box::new(out)).unwrap(), go_on, receiver)
}

fn read(port: &SerialPort, offset: u64) -> u8 {
    let mut data = [0];
    port.read(offset, &mut data);
    data[0]
}

fn transmitter_is_empty(port: &SerialPort) -> bool {
    read(port, LINE_STATUS) & TRANSMITTER_EMPTY == TRANSMITTER_EMPTY
}

/// What an obedient driver does: sends until told to wait.
fn send_until_busy(port: &SerialPort) -> usize {
    (0..).take_while(|_| transmitter_is_empty(port)).inspect(|_| port.write(DATA, b"x")).count()
}

#[test]
fn output_reaches_the_reader_in_order() {
    let (port, reader) = port();
    b"hello".iter().for_each(|byte| port.write(DATA, &[*byte]));
    assert!(port.flush_output(PATIENCE));
    assert_eq!(reader.try_iter().flatten().collect::<Vec<_>>(), b"hello");
}

#[test]
fn a_stopped_reader_holds_the_driver_back_and_loses_nothing() {
    let (port, go_on, reader) = stopped_port(irq());
    let sent = send_until_busy(&port);
    assert!(sent >= 64 * 1024, "told to wait after {sent} bytes");
    assert_eq!(port.lost_output_bytes(), 0);

    drop(go_on);
    assert!(port.flush_output(PATIENCE));
    assert_eq!(reader.try_iter().flatten().count(), sent);
    assert!(transmitter_is_empty(&port));
}

#[test]
fn a_driver_that_was_held_back_gets_an_interrupt() {
    let irq = irq();
    let (port, go_on, _reader) = stopped_port(irq.try_clone().unwrap());
    port.write(INTERRUPT_ENABLE, &[ENABLE_TRANSMIT]);
    send_until_busy(&port);
    // The driver has handled what came so far.
    read(&port, 2);
    drain(&irq);

    drop(go_on);
    assert!(port.flush_output(PATIENCE));
    assert_ne!(irq.read().unwrap(), 0);
}

#[test]
fn a_driver_that_ignores_the_line_status_is_dropped_at_a_limit() {
    let (port, go_on, _reader) = stopped_port(irq());
    (0..3 * 1024 * 1024).for_each(|_| port.write(DATA, b"x"));
    assert!(port.lost_output_bytes() > 0);
    drop(go_on);
}

#[test]
fn a_reader_that_left_is_survived() {
    let (port, reader) = port();
    drop(reader);
    port.write(DATA, b"x");
    assert!(port.flush_output(PATIENCE));
    assert_eq!(port.lost_output_bytes(), 1);
}

#[test]
fn dropping_a_port_writes_the_last_words() {
    let (port, reader) = port();
    b"Power down".iter().for_each(|byte| port.write(DATA, &[*byte]));
    drop(port);
    assert_eq!(reader.iter().flatten().collect::<Vec<_>>(), b"Power down");
}

#[test]
fn dropping_a_port_does_not_wait_for_a_stopped_reader() {
    let (port, _go_on, _reader) = stopped_port(irq());
    port.write(DATA, b"x");
    let dropping = thread::spawn(move || drop(port));
    let deadline = std::time::Instant::now() + PATIENCE;
    while !dropping.is_finished() {
        assert!(std::time::Instant::now() < deadline, "still waiting");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn input_interrupts_and_is_read_in_order() {
    let irq = irq();
    let port = SerialPort::new(irq.try_clone().unwrap(), Box::new(io::sink())).unwrap();
    port.write(INTERRUPT_ENABLE, &[ENABLE_RECEIVE]);
    assert_eq!(port.enqueue_input(b"ok"), 2);
    assert_eq!(irq.read().unwrap(), 1);
    assert_eq!([read(&port, DATA), read(&port, DATA)], *b"ok");
    assert_eq!(read(&port, LINE_STATUS) & DATA_READY, 0);
}

#[test]
fn input_beyond_the_fifo_waits_and_none_is_lost() {
    let (port, _reader) = port();
    let typed: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    assert_eq!(port.enqueue_input(&typed), typed.len());
    let seen: Vec<u8> = typed.iter().map(|_| read(&port, DATA)).collect();
    assert_eq!(seen, typed);
}

#[test]
fn input_beyond_the_limit_is_refused_and_there_is_an_event_when_to_go_on() {
    let (port, _reader) = port();
    let typed = vec![b'x'; INPUT_LIMIT_BYTES + 1];
    let taken = port.enqueue_input(&typed);
    assert_eq!(taken, INPUT_LIMIT_BYTES);
    assert!(port.input_room_event().read().is_err(), "nothing was read yet");
    let seen = (0..taken).map(|_| read(&port, DATA)).filter(|byte| *byte == b'x').count();
    assert_eq!(seen, taken);
    assert_eq!(port.input_room_event().read().unwrap(), 1);
    assert_eq!(port.input_room_bytes(), INPUT_LIMIT_BYTES);
}

#[test]
fn odd_accesses_are_ignored() {
    let (port, reader) = port();
    port.write(DATA, b"xy");
    port.write(8, b"x");
    port.write(u64::MAX, b"x");
    let mut wide = [0; 4];
    port.read(DATA, &mut wide);
    assert_eq!(wide, [0xff; 4]);
    drop(port);
    assert_eq!(reader.iter().count(), 0);
}
