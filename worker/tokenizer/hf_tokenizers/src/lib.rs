//! tokenizer.json through the Hugging Face crate, as C functions (hf_tokenizers.h).
//!
//! Files come from outside: panics become errors, and what would make ids random or let a small file ask for a lot of memory is
//! refused when the tokenizer is made.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Once;

use serde::Deserialize;
use tokenizers::normalizers::{BertNormalizer, NormalizerWrapper};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, PostProcessor, Tokenizer};

/// A real post-processor adds one or two tokens.
const MAX_SPECIAL_TOKENS: usize = 64;
/// Real normalisers replace a character by a few bytes.
const MAX_GROWTH: usize = 64;

/// What tokenizer_config.json adds to tokenizer.json; hf_settings.cc writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Tokens of added_tokens_decoder, in order of their ids.
    added_tokens: Vec<AddedToken>,
    /// bos_token and its like: added unless a token of that text was added already.
    named_tokens: Vec<AddedToken>,
    /// Puts BOS and EOS around the text; absent: as tokenizer.json says.
    template: Option<Template>,
    /// Take the file's post-processor, and `template` only if it has none.
    keep_post_processor: bool,
    /// BERT's normaliser as tokenizer_config.json asks for it.
    bert: Option<Bert>,
    /// Special tokens inside a text are text.
    split_special_tokens: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Template {
    bos: Option<String>,
    eos: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bert {
    lowercase: Option<bool>,
    handle_chinese_chars: Option<bool>,
    strip_accents: Option<bool>,
}

/// The one field that is looked at before the crate reads the file.
#[derive(Deserialize)]
struct Peek {
    model: PeekModel,
}

#[derive(Deserialize)]
struct PeekModel {
    dropout: Option<f32>,
}

pub struct HfTokenizer {
    tokenizer: Tokenizer,
    id_bound: u32,
}

type Result<T> = std::result::Result<T, String>;

/// How many times longer a normaliser can make a text, at most.
fn growth(normalizer: &NormalizerWrapper) -> usize {
    match normalizer {
        NormalizerWrapper::Sequence(sequence) => sequence.as_ref().iter().map(growth).fold(1, usize::saturating_mul),
        // A pattern may match between any two bytes.
        NormalizerWrapper::Replace(replace) => replace.content.len().max(1),
        _ => 1,
    }
}

fn read(json: &[u8]) -> Result<Tokenizer> {
    let peek: Peek = serde_json::from_slice(json).map_err(|e| format!("not a readable tokenizer.json: {e}"))?;
    if peek.model.dropout.is_some_and(|dropout| dropout != 0.0) {
        return Err("model.dropout makes ids random; set it to null".into());
    }
    let mut tokenizer = Tokenizer::from_bytes(json).map_err(|e| format!("not a readable tokenizer.json: {e}"))?;
    if tokenizer.get_normalizer().map_or(1, growth) > MAX_GROWTH {
        return Err(format!("its normalizer can make a text more than {MAX_GROWTH} times longer"));
    }
    // Texts are cut to max_text_length and never padded, whatever the file was last used for.
    tokenizer.with_truncation(None).map_err(|e| e.to_string())?.with_padding(None);
    Ok(tokenizer)
}

fn override_bert(tokenizer: &mut Tokenizer, bert: &Bert) {
    if let Some(NormalizerWrapper::BertNormalizer(file)) = tokenizer.get_normalizer() {
        let normalizer = BertNormalizer::new(
            file.clean_text,
            bert.handle_chinese_chars.unwrap_or(file.handle_chinese_chars),
            bert.strip_accents.or(file.strip_accents),
            bert.lowercase.unwrap_or(file.lowercase),
        );
        tokenizer.with_normalizer(Some(normalizer));
    }
}

/// As transformers does when it loads a fast tokenizer.
fn add_tokens(tokenizer: &mut Tokenizer, settings: &Settings) {
    let present: Vec<String> = tokenizer
        .get_added_tokens_decoder()
        .into_values()
        .map(|token| token.content)
        .collect();
    let mut tokens = settings.added_tokens.clone();
    for named in &settings.named_tokens {
        if !present.contains(&named.content) && !tokens.iter().any(|token| token.content == named.content) {
            tokens.push(named.clone());
        }
    }
    tokenizer.add_tokens(&tokens);
}

fn set_template(tokenizer: &mut Tokenizer, template: &Template) -> Result<()> {
    let mut pieces = vec!["$A".to_string()];
    let mut ids = Vec::new();
    for (token, first) in [(&template.bos, true), (&template.eos, false)] {
        let Some(token) = token else { continue };
        let id = tokenizer
            .token_to_id(token)
            .ok_or_else(|| format!("the vocabulary has no token \"{token}\""))?;
        pieces.insert(if first { 0 } else { pieces.len() }, token.clone());
        ids.push((token.clone(), id));
    }
    let processor = TemplateProcessing::builder()
        .try_single(pieces)
        .and_then(|builder| builder.special_tokens(ids).build().map_err(|e| e.to_string()))
        .map_err(|e| format!("BOS and EOS can't be put around a text: {e}"))?;
    tokenizer.with_post_processor(Some(processor));
    Ok(())
}

fn make(json: &[u8], settings: &[u8]) -> Result<HfTokenizer> {
    let settings: Settings = serde_json::from_slice(settings).map_err(|e| format!("settings: {e}"))?;
    let mut tokenizer = read(json)?;
    if let Some(bert) = &settings.bert {
        override_bert(&mut tokenizer, bert);
    }
    add_tokens(&mut tokenizer, &settings);
    if let Some(template) = &settings.template {
        if !settings.keep_post_processor || tokenizer.get_post_processor().is_none() {
            set_template(&mut tokenizer, template)?;
        }
    }
    let added = tokenizer
        .get_post_processor()
        .map_or(0, |processor| processor.added_tokens(false));
    if added > MAX_SPECIAL_TOKENS {
        return Err(format!(
            "its post_processor adds {added} tokens to each text; at most {MAX_SPECIAL_TOKENS} are read"
        ));
    }
    tokenizer.set_encode_special_tokens(settings.split_special_tokens);

    // A template may name ids that no vocabulary holds.
    let around = tokenizer.encode_fast("", true).map_err(|e| e.to_string())?;
    let known = tokenizer.get_vocab(true).into_values().max();
    let last = around.get_ids().iter().copied().chain(known).max();
    let id_bound = last
        .map_or(Some(0), |id| id.checked_add(1))
        .filter(|bound| *bound <= i32::MAX as u32);
    let id_bound = id_bound.ok_or("a token id is not below 2^31")?;
    Ok(HfTokenizer { tokenizer, id_bound })
}

fn encode(tokenizer: &Tokenizer, text: &[u8]) -> Result<Vec<u32>> {
    let text = std::str::from_utf8(text).map_err(|e| format!("the text is not UTF-8 at byte {}", e.valid_up_to()))?;
    let encoding = tokenizer.encode_fast(text, true).map_err(|e| e.to_string())?;
    Ok(encoding.get_ids().to_vec())
}

// The C border.

#[repr(C)]
pub struct HfView {
    data: *const u8,
    size: usize,
}

#[repr(C)]
pub struct HfString {
    data: *mut u8,
    size: usize,
}

#[repr(C)]
pub struct HfIds {
    data: *mut u32,
    size: usize,
}

impl HfView {
    /// Safety: the caller's bytes stay where they are for the length of one call.
    unsafe fn bytes(&self) -> &[u8] {
        if self.size == 0 {
            return &[];
        }
        std::slice::from_raw_parts(self.data, self.size)
    }
}

fn give_string(text: String) -> HfString {
    let bytes = text.into_bytes().into_boxed_slice();
    HfString {
        size: bytes.len(),
        data: Box::into_raw(bytes).cast(),
    }
}

/// Runs `body`; an error, or a panic inside the crate, goes into `error`.
unsafe fn guarded<T>(error: *mut HfString, body: impl FnOnce() -> Result<T>) -> Option<T> {
    // The message travels in the error; nothing is printed.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(panic.downcast_ref::<&str>().copied());
        Err(format!(
            "the tokenizers library gave up: {}",
            what.unwrap_or("no reason given")
        ))
    });
    match outcome {
        Ok(value) => Some(value),
        Err(message) => {
            *error = give_string(message);
            None
        }
    }
}

/// # Safety
/// Views are readable; `error` is writable.
#[no_mangle]
pub unsafe extern "C" fn hf_tokenizer_new(json: HfView, settings: HfView, error: *mut HfString) -> *mut HfTokenizer {
    guarded(error, || make(json.bytes(), settings.bytes()))
        .map_or(std::ptr::null_mut(), |tokenizer| Box::into_raw(Box::new(tokenizer)))
}

/// # Safety
/// `tokenizer` came from hf_tokenizer_new and is not used again.
#[no_mangle]
pub unsafe extern "C" fn hf_tokenizer_free(tokenizer: *mut HfTokenizer) {
    if !tokenizer.is_null() {
        drop(Box::from_raw(tokenizer));
    }
}

/// # Safety
/// `tokenizer` came from hf_tokenizer_new; the view is readable; `ids` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn hf_tokenizer_encode(
    tokenizer: *const HfTokenizer,
    text: HfView,
    ids: *mut HfIds,
    error: *mut HfString,
) -> bool {
    let Some(encoded) = guarded(error, || encode(&(*tokenizer).tokenizer, text.bytes())) else {
        return false;
    };
    let encoded = encoded.into_boxed_slice();
    *ids = HfIds {
        size: encoded.len(),
        data: Box::into_raw(encoded).cast(),
    };
    true
}

/// # Safety
/// `tokenizer` came from hf_tokenizer_new.
#[no_mangle]
pub unsafe extern "C" fn hf_tokenizer_id_bound(tokenizer: *const HfTokenizer) -> u32 {
    (*tokenizer).id_bound
}

/// # Safety
/// `tokenizer` came from hf_tokenizer_new; `token` is writable.
#[no_mangle]
pub unsafe extern "C" fn hf_tokenizer_token(tokenizer: *const HfTokenizer, id: u32, token: *mut HfString) -> bool {
    match (*tokenizer).tokenizer.id_to_token(id) {
        Some(text) => {
            *token = give_string(text);
            true
        }
        None => false,
    }
}

/// # Safety
/// `string` came from this library and is not used again.
#[no_mangle]
pub unsafe extern "C" fn hf_string_free(string: HfString) {
    if !string.data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(string.data, string.size)));
    }
}

/// # Safety
/// `ids` came from this library and are not used again.
#[no_mangle]
pub unsafe extern "C" fn hf_ids_free(ids: HfIds) {
    if !ids.data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(ids.data, ids.size)));
    }
}
