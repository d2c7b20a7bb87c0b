//! Episodes: what a policy learns from.

/// One completion of one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// which of the prompts that the loop was given
    pub number: usize,
    /// its tokens
    pub prompt: Vec<u32>,
    /// with its end token, if it has one; never empty
    pub completion: Vec<u32>,
    /// it ended by itself, not by running out of room
    pub ended: bool,
}

impl Episode {
    /// Prompt and completion.
    pub fn sequence(&self) -> Vec<u32> {
        [&self.prompt[..], &self.completion].concat()
    }
}
