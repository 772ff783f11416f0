//! Stepping over values that nobody wants, checked like all others.

use super::{Fault, MAX_DEPTH, Scanner};

impl Scanner<'_> {
    /// Steps over the value here, which stands in `depth` containers, without recursion.
    pub(in super::super) fn skip(&mut self, depth: u32) -> Result<(), Fault> {
        // One bit per open container, the innermost lowest: 1 is an object.
        let mut open: u64 = 0;
        let mut inside = 0;
        loop {
            let token = self.token();
            match token {
                b'{' | b'[' => {
                    if depth + inside >= MAX_DEPTH {
                        return Err(Fault::TooDeep);
                    }
                    self.at += 1;
                    let object = token == b'{';
                    if self.token() == if object { b'}' } else { b']' } {
                        self.at += 1;
                    } else {
                        inside += 1;
                        open = open << 1 | u64::from(object);
                        if object {
                            self.skip_key()?;
                        }
                        continue;
                    }
                }
                _ => self.skip_scalar(token)?,
            }
            loop {
                if inside == 0 {
                    return Ok(());
                }
                match (self.token(), open & 1 == 1) {
                    (b',', object) => {
                        self.at += 1;
                        if object {
                            self.skip_key()?;
                        }
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        self.at += 1;
                        inside -= 1;
                        open >>= 1;
                    }
                    _ => return self.malformed(),
                }
            }
        }
    }

    #[inline]
    fn skip_scalar(&mut self, token: u8) -> Result<(), Fault> {
        match token {
            b'"' => self.skip_string(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'-' | b'0'..=b'9' | b'N' | b'I' => self.number().map(drop),
            _ => self.malformed(),
        }
    }

    fn skip_key(&mut self) -> Result<(), Fault> {
        if self.token() != b'"' {
            return self.malformed();
        }
        self.skip_string()?;
        self.expect(b':')
    }
}
