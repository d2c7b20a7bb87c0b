//! Which vector instructions to use: found at run time, once.

use super::wishes::wish;
use std::ffi::OsStr;
use std::sync::atomic::{AtomicU8, Ordering};

/// Instruction sets the kernels are compiled for. `Portable` is what the target always has
/// (SSE2 on x86-64, NEON on aarch64, where the matrix product has its own NEON tile besides).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Isa {
    /// What the target always has.
    Portable = 1,
    /// NEON, on aarch64.
    Neon,
    /// AVX2 with fused multiply-add.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
    /// AVX-512 with AMX, whose tiles multiply bf16 (Intel, from Sapphire Rapids on). Everything else is AVX-512.
    Amx,
}

impl Isa {
    const ALL: [Isa; 5] = [Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512, Isa::Amx];

    /// As `RLHF_SIMD` names it.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Amx => "amx",
        }
    }

    /// Whether this processor (and its operating system) can run it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            Isa::Neon => cfg!(target_arch = "aarch64"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => Isa::Avx512.is_available() && is_x86_feature_detected!("avx512bf16") && amx_is_granted(),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 | Isa::Amx => false,
        }
    }

    /// Whether vectors have 512 bits.
    pub fn has_avx512(self) -> bool {
        matches!(self, Isa::Avx512 | Isa::Amx)
    }
}

/// Does the processor have AMX tiles of bf16, and does the system let this process use them? Linux has to be asked.
#[cfg(target_arch = "x86_64")]
fn amx_is_granted() -> bool {
    use std::arch::{asm, x86_64::__cpuid_count};
    const TILE_AND_BF16: u32 = 1 << 24 | 1 << 22;
    const OSXSAVE: u32 = 1 << 27;
    const TILES_ARE_SAVED: u32 = 3 << 17;
    let has =
        |leaf: u32, of: fn(std::arch::x86_64::CpuidResult) -> u32, bits| of(__cpuid_count(leaf, 0)) & bits == bits;
    if !cfg!(target_os = "linux") || !has(7, |r| r.edx, TILE_AND_BF16) || !has(1, |r| r.ecx, OSXSAVE) {
        return false;
    }
    let (saved, refused): (u32, i64);
    // SAFETY: the system has enabled xgetbv; arch_prctl (158) with ARCH_REQ_XCOMP_PERM (0x1023) and XFEATURE_XTILEDATA
    // (18) touches no memory.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") saved, out("edx") _, options(nomem, nostack));
        asm!("syscall", inlateout("rax") 158i64 => refused, in("rdi") 0x1023, in("rsi") 18,
             out("rcx") _, out("r11") _, options(nostack));
    }
    saved & TILES_ARE_SAVED == TILES_ARE_SAVED && refused == 0
}

/// The instruction set in use; 0 until somebody asked.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

/// The best instruction set this machine has, or the one that `RLHF_SIMD` names (portable, neon, avx2, avx512, amx).
pub fn isa() -> Isa {
    match CHOSEN.load(Ordering::Relaxed) {
        1 => Isa::Portable,
        2 => Isa::Neon,
        3 => Isa::Avx2,
        4 => Isa::Avx512,
        5 => Isa::Amx,
        _ => {
            let isa = choose(wish("RLHF_SIMD").as_deref().and_then(OsStr::to_str));
            CHOSEN.store(isa as u8, Ordering::Relaxed);
            isa
        }
    }
}

fn choose(wish: Option<&str>) -> Isa {
    let available = || Isa::ALL.into_iter().filter(|isa| isa.is_available());
    let Some(wish) = wish else {
        return available().next_back().expect("the portable one is always there");
    };
    available().find(|l| l.name() == wish).unwrap_or_else(|| panic!("{}", unknown(wish)))
}

fn unknown(wish: &str) -> String {
    let names: Vec<_> = Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(Isa::name).collect();
    format!("RLHF_SIMD={wish}: this machine has {}", names.join(", "))
}

/// What is wrong with `RLHF_SIMD`, before anything is computed.
pub fn wrong_wish() -> Option<String> {
    let wish = wish("RLHF_SIMD")?;
    let known = Isa::ALL.into_iter().any(|l| l.is_available() && wish == l.name());
    (!known).then(|| unknown(&wish.to_string_lossy()))
}

/// Runs `f` once for every instruction set of this machine, from the plainest up, one caller at a time. For tests and
/// benches: what other threads compute meanwhile runs on it too.
pub fn each_isa(mut f: impl FnMut(Isa)) {
    use std::sync::Mutex;
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    let before = isa();
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        CHOSEN.store(isa as u8, Ordering::Relaxed);
        f(isa);
    }
    CHOSEN.store(before as u8, Ordering::Relaxed);
}

/// Compiles one plain function once for every instruction set and calls the best at run time:
///
/// ```ignore
/// per_isa! {
///     fn scale(y: &mut [f32], s: f32) {
///         for y in y { *y *= s }
///     }
/// }
/// ```
///
/// The body is ordinary safe Rust, which the compiler turns into vector code. Functions it calls in its inner
/// loop must be `#[inline(always)]`, or they are compiled for the portable instruction set only. The one macro of this
/// crate: without it each hot loop would be written behind three `#[target_feature]` functions by hand.
macro_rules! per_isa {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $out:ty)? $body:block)*) => {$(
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $out)? {
            #[inline(always)]
            fn portable($($arg: $ty),*) $(-> $out)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $out)? {
                portable($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $ty),*) $(-> $out)? {
                portable($($arg),*)
            }

            // SAFETY: `isa` only returns what was found on this machine.
            match $crate::cpu::simd::isa() {
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::simd::Isa::Avx512 | $crate::cpu::simd::Isa::Amx => unsafe { avx512($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::simd::Isa::Avx2 => unsafe { avx2($($arg),*) },
                _ => portable($($arg),*),
            }
        }
    )*};
}
pub(crate) use per_isa;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portable_can_be_asked_for() {
        assert_eq!(choose(Some("portable")), Isa::Portable);
        assert!(choose(None).is_available());
    }

    #[test]
    #[should_panic(expected = "this machine has portable")]
    fn an_unknown_level_is_refused() {
        choose(Some("avx1024"));
    }
}
