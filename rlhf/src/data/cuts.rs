//! Making sequences fit into a context, and counting what that cost.

use std::fmt;

/// What did not fit into the context.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Cuts {
    /// Sequences that were encoded.
    pub rows: usize,
    /// Prompts that lost their beginning.
    pub prompts: usize,
    /// Tokens that they lost.
    pub prompt_tokens: usize,
    /// Completions that lost their end.
    pub completions: usize,
    /// Tokens that they lost.
    pub completion_tokens: usize,
    /// Those with nothing left to train, which are left out.
    pub untrained: usize,
    /// Tokens of the longest sequence before it was cut.
    pub longest: usize,
    /// Comparisons of completions, and those of completions that are the same once cut.
    pub comparisons: usize,
    /// Comparisons whose two completions are the same.
    pub equal: usize,
}

impl Cuts {
    /// Is there anything to tell?
    pub fn any(&self) -> bool {
        self.prompts + self.completions + self.untrained + self.equal > 0
    }

    /// Makes every completion fit behind its prompt into `context` tokens. Where both are long, each gets half of
    /// them. The first `start` tokens of the prompt stay.
    pub fn fit(&mut self, prompt: &mut Vec<u32>, completions: &mut [Vec<u32>], context: usize, start: usize) {
        let longest = completions.iter().map(Vec::len).max().unwrap_or(0);
        self.longest = self.longest.max(prompt.len() + longest);
        let for_prompt = context.saturating_sub(longest).max(context / 2);
        self.fit_prompt(prompt, for_prompt, start);
        let for_completion = context - prompt.len();
        completions.iter_mut().for_each(|completion| self.cut_end(completion, for_completion));
    }

    /// Keeps the last tokens of a prompt, `most` with the first `start`, which stay.
    pub fn fit_prompt(&mut self, prompt: &mut Vec<u32>, most: usize, start: usize) {
        self.rows += 1;
        self.longest = self.longest.max(prompt.len());
        if prompt.len() > most {
            let surplus = prompt.len() - most;
            prompt.drain(start..start + surplus);
            self.prompts += 1;
            self.prompt_tokens += surplus;
        }
    }

    /// Keeps the first tokens.
    pub fn cut_end<T>(&mut self, tokens: &mut Vec<T>, most: usize) {
        if tokens.len() > most {
            self.completions += 1;
            self.completion_tokens += tokens.len() - most;
            tokens.truncate(most);
        }
    }
}

impl fmt::Display for Cuts {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Cuts { rows, prompts, prompt_tokens, completions, completion_tokens, untrained, .. } = self;
        write!(f, "of {rows} rows, {prompts} prompts lost their beginning ({prompt_tokens} tokens), ")?;
        write!(f, "{completions} completions lost their end ({completion_tokens} tokens, the end token among them)")?;
        if *untrained > 0 {
            write!(f, ", {untrained} have nothing to train and are left out")?;
        }
        if self.equal > 0 {
            let Cuts { equal, comparisons, .. } = self;
            write!(f, ", {equal} of {comparisons} pairs are equal once they are cut, and are left out")?;
        }
        Ok(())
    }
}
