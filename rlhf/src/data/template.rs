//! How rows become text, and text token ids.
//!
//! Strings are used as they are. Messages are written as the dialogues of hh-rlhf are:
//!
//! ```text
//! {what the system says}
//!
//! Human: {what the user says}
//!
//! Assistant: {what the assistant says}
//! ```
//!
//! (with the two line feeds before `Human:` even at the very start), a prompt ends with `Assistant:`, a completion
//! starts with a space and ends with the end token. Inside a prompt there is no end token. What is too long for
//! the context is cut and counted: a prompt loses its beginning, a completion its end and then has no end token.

use std::fmt;

use model::Tokenizer;
use rayon::prelude::*;

use super::error::DataError;
use super::rows::{self, Content, Message, Role, Row};
use super::{Example, Ranking};

const HUMAN: &str = "\n\nHuman:";
const ASSISTANT: &str = "\n\nAssistant:";

/// The text of a prompt.
pub fn prompt_text(prompt: &Content) -> String {
    match prompt {
        Content::Text(text) => text.clone(),
        Content::Messages(messages) => messages.iter().map(dialogue).collect::<String>() + ASSISTANT,
    }
}

/// The text of a completion, without its end token.
pub fn completion_text(completion: &Content) -> String {
    match completion {
        Content::Text(text) => text.clone(),
        Content::Messages(messages) => {
            let text: String = messages.iter().map(dialogue).collect();
            text.strip_prefix(ASSISTANT).map(str::to_string).unwrap_or(text)
        }
    }
}

fn dialogue(message: &Message) -> String {
    match message.role {
        Role::System => message.text.clone(),
        Role::User => format!("{HUMAN} {}", message.text),
        Role::Assistant => format!("{ASSISTANT} {}", message.text),
    }
}

/// What did not fit into the context.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Cuts {
    /// Rows that were encoded.
    pub rows: usize,
    pub prompts: usize,
    pub prompt_tokens: usize,
    pub completions: usize,
    pub completion_tokens: usize,
}

impl Cuts {
    pub fn any(&self) -> bool {
        self.prompts + self.completions > 0
    }

    /// Makes every completion fit behind its prompt into `context` tokens. Where both are long, each gets half of
    /// them. The first `start` tokens of the prompt stay.
    pub fn fit(&mut self, prompt: &mut Vec<u32>, completions: &mut [Vec<u32>], context: usize, start: usize) {
        let longest = completions.iter().map(Vec::len).max().unwrap_or(0);
        let for_prompt = context.saturating_sub(longest).max(context / 2);
        self.fit_prompt(prompt, for_prompt, start);
        let for_completion = context - prompt.len();
        for completion in completions.iter_mut().filter(|completion| completion.len() > for_completion) {
            self.completions += 1;
            self.completion_tokens += completion.len() - for_completion;
            completion.truncate(for_completion);
        }
    }

    /// Keeps the last tokens of a prompt, `most` with the first `start`, which stay.
    pub fn fit_prompt(&mut self, prompt: &mut Vec<u32>, most: usize, start: usize) {
        self.rows += 1;
        if prompt.len() > most {
            let surplus = prompt.len() - most;
            prompt.drain(start..start + surplus);
            self.prompts += 1;
            self.prompt_tokens += surplus;
        }
    }
}

impl fmt::Display for Cuts {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Cuts { rows, prompts, prompt_tokens, completions, completion_tokens } = self;
        write!(f, "of {rows} rows, {prompts} prompts lost their beginning ({prompt_tokens} tokens), ")?;
        write!(f, "{completions} completions lost their end ({completion_tokens} tokens, the end token among them)")
    }
}

/// Turns rows into token ids that fit into a context, and counts what had to be cut.
pub struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    context: usize,
    pub cuts: Cuts,
}

impl<'a> Encoder<'a> {
    /// `context`: the most tokens that a sequence may have.
    #[track_caller]
    pub fn new(tokenizer: &'a Tokenizer, context: usize) -> Encoder<'a> {
        assert!(context >= 2, "a context of {context} tokens has nothing to predict");
        Encoder { tokenizer, context, cuts: Cuts::default() }
    }

    /// For SFT: every demonstration of the rows; the answer and its end token are trained.
    pub fn demonstrations(&mut self, rows: &[Row]) -> Result<Vec<Example>, DataError> {
        let all = rows::demonstrations(rows)?;
        Ok(all.iter().map(|(prompt, completion)| self.demonstration(prompt, completion)).collect())
    }

    pub fn demonstration(&mut self, prompt: &Content, completion: &Content) -> Example {
        let (mut prompt, mut completion) = (self.start(prompt), vec![self.answer(completion)]);
        self.cuts.fit(&mut prompt, &mut completion, self.context, self.tokenizer.bos().iter().count());
        Example::answer(&prompt, &completion[0])
    }

    /// For the reward model: every ranking of the rows; each completion ends with the end token.
    pub fn rankings(&mut self, rows: &[Row]) -> Result<Vec<Ranking>, DataError> {
        let all = rows::rankings(rows)?;
        Ok(all.into_iter().map(|(prompt, completions, ranks)| self.ranking(prompt, completions, ranks)).collect())
    }

    pub fn ranking(&mut self, prompt: &Content, completions: &[Content], ranks: &[f32]) -> Ranking {
        let (mut prompt, ranks) = (self.start(prompt), ranks.to_vec());
        let mut completions = completions.iter().map(|completion| self.answer(completion)).collect::<Vec<_>>();
        self.cuts.fit(&mut prompt, &mut completions, self.context, self.tokenizer.bos().iter().count());
        Ranking { prompt, completions, ranks }
    }

    /// For PPO: every prompt of the rows, once, with room for an answer of `answer` tokens.
    #[track_caller]
    pub fn prompts(&mut self, rows: &[Row], answer: usize) -> Result<Vec<Vec<u32>>, DataError> {
        assert!(answer < self.context, "an answer of {answer} tokens leaves no room in a context of {}", self.context);
        let all = rows::prompts(rows)?;
        let encode = |prompt| {
            let mut prompt = self.start(prompt);
            self.cuts.fit_prompt(&mut prompt, self.context - answer, self.tokenizer.bos().iter().count());
            prompt
        };
        Ok(all.iter().map(encode).collect())
    }

    /// For pretraining: see [`chunks`].
    pub fn texts(&self, rows: &[Row]) -> Result<Vec<Example>, DataError> {
        Ok(chunks(self.tokenizer, &rows::texts(rows)?, self.context))
    }

    /// The start token, if the model has one, and the prompt.
    fn start(&self, prompt: &Content) -> Vec<u32> {
        self.tokenizer.encode_start(&prompt_text(prompt))
    }

    fn answer(&self, completion: &Content) -> Vec<u32> {
        let mut ids = self.tokenizer.encode_more(&completion_text(completion));
        ids.push(self.tokenizer.eos());
        ids
    }
}

/// Documents laid end to end, an end token after each (and before the first, so that it says where a text
/// begins; or the start token, for models that have one), cut to the context. Each chunk starts with the last
/// token of the one before it: every token is trained exactly once, but for the very first.
#[track_caller]
pub fn chunks(tokenizer: &Tokenizer, texts: &[&str], context: usize) -> Vec<Example> {
    assert!(context >= 2, "a context of {context} tokens has nothing to predict");
    let documents: Vec<Vec<u32>> = texts.par_iter().map(|text| tokenizer.encode(text)).collect();
    let mut stream = Vec::with_capacity(documents.iter().map(|document| document.len() + 2).sum());
    if tokenizer.bos().is_none() {
        stream.push(tokenizer.eos());
    }
    for document in documents {
        stream.extend(tokenizer.bos());
        stream.extend(document);
        stream.push(tokenizer.eos());
    }
    let starts = (0..stream.len() - 1).step_by(context - 1);
    starts.map(|start| Example::text(stream[start..stream.len().min(start + context)].to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> Tokenizer {
        Tokenizer::train(["no merges"], 257, &["<|endoftext|>"])
    }

    fn said(role: Role, text: &str) -> Message {
        Message { role, text: text.into() }
    }

    #[test]
    fn messages_are_written_as_in_hh_rlhf() {
        use Role::*;
        let prompt = Content::Messages(vec![
            said(System, "Be brief."),
            said(User, "Hi"),
            said(Assistant, "Hello"),
            said(User, "Bye"),
        ]);
        assert_eq!(prompt_text(&prompt), "Be brief.\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Bye\n\nAssistant:");
        assert_eq!(completion_text(&Content::Messages(vec![said(Assistant, "Bye!")])), " Bye!");
        assert_eq!((prompt_text(&"as it is".into()), completion_text(&"so".into())), ("as it is".into(), "so".into()));
    }

    #[test]
    fn the_answer_and_its_end_are_trained() {
        let tokenizer = tokenizer();
        let example = Encoder::new(&tokenizer, 16).demonstration(&"ab".into(), &" c".into());
        assert_eq!(tokenizer.decode(&example.tokens), "ab c<|endoftext|>");
        assert_eq!(example.weights, [0.0, 0.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn a_long_prompt_loses_its_beginning_and_a_long_answer_its_end() {
        let tokenizer = tokenizer();
        let check = |prompt: &str, answers: &[&str], kept: &str, kept_answers: &[&str], cuts: [usize; 4]| {
            let mut encoder = Encoder::new(&tokenizer, 8);
            let answers: Vec<Content> = answers.iter().map(|&answer| answer.into()).collect();
            let ranking = encoder.ranking(&prompt.into(), &answers, &vec![0.0; answers.len()]);
            assert_eq!(tokenizer.decode(&ranking.prompt), kept);
            let decoded: Vec<String> =
                ranking.completions.iter().map(|c| tokenizer.decode(c).replace("<|endoftext|>", "$")).collect();
            assert_eq!(decoded, kept_answers);
            let Cuts { prompts, prompt_tokens, completions, completion_tokens, .. } = encoder.cuts;
            assert_eq!([prompts, prompt_tokens, completions, completion_tokens], cuts);
        };
        check("abc", &["wxyz", ""], "abc", &["wxyz$", "$"], [0, 0, 0, 0]);
        check("abcdefgh", &["yz"], "defgh", &["yz$"], [1, 3, 0, 0]);
        check("ab", &["123456789", "1"], "ab", &["123456", "1$"], [0, 0, 1, 4]);
        check("abcdefgh", &["123456789"], "efgh", &["1234"], [1, 4, 1, 6]);
    }

    #[test]
    fn prompts_leave_room_and_come_once() {
        let tokenizer = tokenizer();
        let mut encoder = Encoder::new(&tokenizer, 8);
        let rows = ["abcdefgh", "x", "abcdefgh"].map(|prompt| Row::Prompt(prompt.into()));
        let prompts = encoder.prompts(&rows, 5).unwrap();
        assert_eq!(prompts.iter().map(|p| tokenizer.decode(p)).collect::<Vec<_>>(), ["fgh", "x"]);
        assert_eq!((encoder.cuts.prompts, encoder.cuts.rows), (1, 2));
        assert!(encoder.cuts.to_string().starts_with("of 2 rows, 1 prompts lost their beginning (5 tokens)"));
    }

    #[test]
    fn every_token_of_the_texts_is_trained_once() {
        let tokenizer = tokenizer();
        for context in 2..12 {
            let chunks = chunks(&tokenizer, &["abcde", "", "fgh"], context);
            assert!(chunks.iter().all(|chunk| (2..=context).contains(&chunk.tokens.len())));
            let trained: Vec<u32> = chunks.iter().flat_map(|chunk| chunk.tokens[1..].to_vec()).collect();
            assert_eq!(tokenizer.decode(&trained).replace("<|endoftext|>", "$"), "abcde$$fgh$");
            assert_eq!(chunks[0].tokens[0], tokenizer.eos());
        }
    }
}
