//! Names as numbers: the engine names points by 128 bits, and an id has 80; of
//! other names the store keeps a hash only.

use charter::digest::Digest;
use charter::ids::MemoryId;

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What the store keeps of a name: the first 64 bits of the SHA-256 of its parts,
/// each with its length.
pub fn hash(parts: &[&str]) -> u64 {
    let parts: Vec<_> = parts.iter().map(|part| part.as_bytes()).collect();
    let digest = Digest::of_parts(&parts);
    u64::from_le_bytes(std::array::from_fn(|n| digest.0[n]))
}

/// The number of a memory.
pub(crate) fn key(id: &MemoryId) -> u128 {
    let digits = id.as_str().bytes().skip_while(|byte| *byte != b'-').skip(1).take(16);
    digits.fold(0, |key, digit| {
        let digit = DIGITS.iter().position(|known| *known == digit).unwrap_or(0);
        (key << 5) | digit as u128
    })
}

/// The memory of a number; `None`: no memory has it.
pub(crate) fn memory(key: u128) -> Option<MemoryId> {
    if key >> 80 != 0 {
        return None;
    }
    let digits = (0..16).rev().map(|n| char::from(DIGITS[(key >> (n * 5)) as usize & 31]));
    format!("k-{}", digits.collect::<String>()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: &str) {
        let id: MemoryId = id.parse().unwrap();
        assert_eq!(memory(key(&id)), Some(id));
    }

    #[test]
    fn an_id_comes_back() {
        check("k-0000000000000000");
        check("k-zzzzzzzzzzzzzzzz");
        check("k-01k9abcdefghjkmn");
    }

    #[test]
    fn ids_in_order_are_numbers_in_order() {
        let [a, b] =
            ["k-01k9abcdefghjkmn", "k-01k9abcdefghjkmp"].map(|id| key(&id.parse().unwrap()));
        assert!(a < b);
        assert_eq!(memory(1 << 80), None);
    }
}
