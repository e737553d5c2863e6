//! The factors of an RSA key of which only the modulus and the exponents are given (RFC 7518 section 6.3.2 allows that).

use num_bigint::BigUint;

/// The parameters that a JWK of n, e and d leaves out.
pub(super) struct Factors {
    pub(super) p: Vec<u8>,
    pub(super) q: Vec<u8>,
    pub(super) dp: Vec<u8>,
    pub(super) dq: Vec<u8>,
    pub(super) qi: Vec<u8>,
}

/// Bases that are tried. Each finds the factors with a probability of at least one half.
const ATTEMPTS: u32 = 100;

/// Factors `n` (NIST SP 800-56B, appendix C.2). `None`: the exponents do not belong to `n`.
pub(super) fn recover(n: &[u8], e: &[u8], d: &[u8]) -> Option<Factors> {
    let [n, e, d] = [n, e, d].map(BigUint::from_bytes_be);
    let (zero, one) = (BigUint::ZERO, BigUint::from(1_u8));
    if n < BigUint::from(4_u8) || e <= one || d <= one || d >= n || e >= n {
        return None;
    }
    // e * d - 1 is a multiple of the order of every base.
    let multiple = &e * &d - &one;
    let twos = multiple.trailing_zeros().filter(|twos| *twos > 0)?;
    let odd = &multiple >> twos;
    let minus_one = &n - &one;
    for base in 2..ATTEMPTS + 2 {
        let mut root = BigUint::from(base).modpow(&odd, &n);
        for _ in 0..twos {
            if root == one || root == minus_one {
                break;
            }
            let square = &root * &root % &n;
            if square == one {
                // A root of 1 that is neither 1 nor -1 shares a factor with n.
                let factor = greatest_common_divisor(&root - &one, n.clone());
                return factors(factor, &n, &d);
            }
            root = square;
        }
        if root == zero {
            return None;
        }
    }
    None
}

fn factors(p: BigUint, n: &BigUint, d: &BigUint) -> Option<Factors> {
    let one = BigUint::from(1_u8);
    if p <= one {
        return None;
    }
    let q = n / &p;
    // The larger one first, as tools write them.
    let (p, q) = if p < q { (q, p) } else { (p, q) };
    if &p * &q != *n || q <= one || p == q {
        return None;
    }
    let qi = q.modinv(&p)?;
    Some(Factors {
        dp: (d % (&p - &one)).to_bytes_be(),
        dq: (d % (&q - &one)).to_bytes_be(),
        qi: qi.to_bytes_be(),
        p: p.to_bytes_be(),
        q: q.to_bytes_be(),
    })
}

fn greatest_common_divisor(mut a: BigUint, mut b: BigUint) -> BigUint {
    while b != BigUint::ZERO {
        (a, b) = (b.clone(), a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn factors_are_found_and_foreign_exponents_are_not() {
        // 61 * 53, the example of many textbooks.
        let found = recover(&[0x0c, 0xa1], &[17], &[0x0a, 0xc1]).unwrap();
        assert_eq!((&found.p[..], &found.q[..]), (&[61][..], &[53][..]));
        assert_eq!((found.dp[0], found.dq[0], found.qi[0]), (53, 49, 38));
        for (n, e, d) in [
            (&[0x0c, 0xa1][..], 17, 5),
            (&[0x0c, 0xa0], 17, 3),
            (&[7], 3, 5),
            (&[0], 0, 0),
        ] {
            let _ = recover(n, &[e], &[d]);
        }
        assert!(recover(&[0x0c, 0xa1], &[17], &[6]).is_none());
    }
}
