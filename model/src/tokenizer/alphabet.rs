//! GPT-2's byte alphabet: every byte as one printable character, so that a vocabulary of byte strings
//! can be written as JSON text. A printable byte of Latin-1 is itself; the other 68, in order, are
//! U+0100, U+0101, … (a space is Ġ, a line feed Ċ). OpenAI's gpt-2/src/encoder.py, `bytes_to_unicode`.

/// Bytes in GPT-2's order, which is the order of its first 256 ids: the printable ones, then the rest.
pub const ORDER: [u8; 256] = order();

const fn printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

const fn order() -> [u8; 256] {
    let mut order = [0; 256];
    let (mut next, mut pass) = (0, 0);
    while pass < 2 {
        let mut byte = 0;
        while byte < 256 {
            if printable(byte as u8) == (pass == 0) {
                order[next] = byte as u8;
                next += 1;
            }
            byte += 1;
        }
        pass += 1;
    }
    order
}

const PRINTABLE: usize = 188;

fn char_of(byte: u8) -> char {
    if printable(byte) {
        return byte as char;
    }
    let nth = ORDER[PRINTABLE..].binary_search(&byte).expect("every byte is in the table");
    char::from_u32(0x100 + nth as u32).expect("U+0100 to U+0143 are characters")
}

fn byte_of(c: char) -> Option<u8> {
    match c as u32 {
        code @ 0..0x100 => Some(code as u8).filter(|&byte| printable(byte)),
        code => ORDER[PRINTABLE..].get(code as usize - 0x100).copied(),
    }
}

/// The bytes in the alphabet: `" the"` is `"Ġthe"`.
pub fn write(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char_of(byte)).collect()
}

/// The way back. `Err` holds the first character that stands for no byte.
pub fn read(text: &str) -> Result<Vec<u8>, char> {
    text.chars().map(|c| byte_of(c).ok_or(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(read(&write(&all)).unwrap(), all);
        assert_eq!(write(b" the\n\0"), "ĠtheĊĀ");
        assert_eq!(read("a b"), Err(' '));
        assert_eq!(read("日"), Err('日'));
    }

    #[test]
    fn the_order_is_that_of_gpt2s_ids() {
        assert_eq!(
            (ORDER[0], ORDER[93], ORDER[94], ORDER[187], ORDER[188], ORDER[220]),
            (b'!', b'~', 0xA1, 0xFF, 0, b' ')
        );
    }
}
