//! The payload: position-independent 64-bit code that makes the calls of the table at RBP and halts.

use std::arch::global_asm;

global_asm!(
    ".pushsection .rodata.tmem_payload, \"a\"",
    ".global tmem_payload_start",
    ".global tmem_payload_end",
    "tmem_payload_start:",
    "mov edx, {port}",
    "2: mov rbx, [rbp]",
    "mov rax, [rbp + 8]",
    "mov rdi, [rbp + 16]",
    "mov rsi, [rbp + 24]",
    "mov r8, [rbp + 32]",
    "mov r9, [rbp + 40]",
    "mov r10, [rbp + 48]",
    "mov r11, [rbp + 56]",
    "cmp rbx, 1",
    "je 10f",
    "cmp rbx, 2",
    "je 20f",
    "cmp rbx, 3",
    "je 30f",
    "cmp rbx, 4",
    "je 40f",
    "9: hlt",
    "jmp 9b",
    "10: out dx, eax",
    "jmp 50f",
    "20: out dx, ax",
    "jmp 50f",
    "30: out dx, al",
    "jmp 50f",
    // RCX is a canary: it is put aside over the string instruction.
    "40: xchg rcx, rdi",
    "cld",
    "rep outsd",
    "mov rcx, rdi",
    "50: mov [rbp + 8], rax",
    "mov [rbp + 16], rdi",
    "mov [rbp + 24], rsi",
    "mov [rbp + 32], r8",
    "mov [rbp + 40], r9",
    "mov [rbp + 48], r10",
    "mov [rbp + 56], r11",
    "add rbp, 64",
    "jmp 2b",
    "tmem_payload_end:",
    ".popsection",
    port = const vmm::arch::x86_64::layout::TMEM_PORT,
);

unsafe extern "C" {
    static tmem_payload_start: u8;
    static tmem_payload_end: u8;
}

/// The bytes of the payload.
pub(super) fn bytes() -> &'static [u8] {
    let (start, end) = (&raw const tmem_payload_start, &raw const tmem_payload_end);
    // SAFETY: both symbols delimit one read-only section of this binary, the start before the end.
    unsafe { std::slice::from_raw_parts(start, end as usize - start as usize) }
}
