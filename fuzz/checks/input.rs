//! Bytes of the fuzzer as small choices and numbers; at the end everything is 0.

/// What is left of an input.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    pub fn bit(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// One of `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(u16::from_le_bytes(self.array())) % n.max(1)
    }

    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_at(N.min(self.0.len()));
        self.0 = rest;
        let mut array = [0; N];
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// A number that tries whoever takes it: tenths, any double at all, the ends of the type, or
    /// one that lies on or beside one of `near`.
    pub fn number(&mut self, near: &[f64]) -> f64 {
        const ODD: [f64; 16] = [
            0.0,
            -0.0,
            5e-324,
            -5e-324,
            f64::MIN_POSITIVE,
            f64::MAX,
            -f64::MAX,
            1e300,
            -1e300,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            9_007_199_254_740_993.0,
            4_294_967_296.0,
            65_504.0,
            0.1,
        ];
        match self.byte() {
            tag @ 0..128 => (f64::from(tag) - 64.0) / 8.0,
            128..192 => f64::from(i16::from_le_bytes(self.array())) / 10.0,
            192..208 => f64::from_bits(self.u64()),
            tag @ 208..224 => ODD[usize::from(tag - 208)],
            _ if near.is_empty() => 1.0,
            tag => {
                let near = near[self.below(near.len())];
                match tag % 4 {
                    0 => near.next_up(),
                    1 => near.next_down(),
                    _ => near,
                }
            }
        }
    }
}
