"""HLLM as bytedance/HLLM computes it where that differs from `numerics: exact`: the oracle of `numerics: compat`, on hllm_reference.py.

The whole module in bf16 (P1), the loss with it (N1, N2, N4, N5), fp32 masters of the rounded weights under AdamW (P2), no clipping (O2),
an item without text as the encoding of the empty text (X3). cos and sin of the rotary positions are made in fp32 and rounded (M5).
"""

import torch

import compat_loss
import hllm_reference as reference


class CompatCorpus(reference.Corpus):
    """What compat_data.py read. named_chunks: the training samples as it cut them."""

    @classmethod
    def of(cls, data, tokenizer, max_text_length):
        """data: the JSON of compat_data.py."""
        numbers = {item["item_id"]: number for number, item in enumerate(data["items"], start=1)}
        tokens = [tokenizer(text)[:max_text_length] for text in ["", *(item["text"] for item in data["items"])]]  # X3
        histories = {user: [numbers[item] for item in items] for user, items in data["histories"].items()}
        corpus = cls([None, *numbers], tokens, histories)
        corpus.named_chunks = data["chunks"]
        return corpus


class CompatHLLM(reference.HLLM):
    def __init__(self, item_model, user_model, attention="sdpa"):
        super().__init__(item_model, user_model, dtype=torch.bfloat16, attention=attention)
        for parameter in (self.item_emb_tokens, self.logit_scale):
            parameter.data = parameter.data.to(torch.bfloat16)

    def outputs(self, corpus, batch):
        """Positives and negatives in calls of their own (X7)."""
        rows, length = batch.positives.shape
        positives = self.encode_items([corpus.tokens[item] for item in batch.positives.ravel()]).view(rows, length, -1)
        negatives = self.encode_items([corpus.tokens[item] for item in batch.negatives.ravel()])
        mask = torch.from_numpy(batch.mask)
        users, valid = self.encode_users(positives[:, :-1], mask), mask.bool()
        return users[valid], positives[:, 1:][valid], negatives

    def logits(self, users_RH, targets_RH, negatives_KH):
        return compat_loss.nce_logits(users_RH, targets_RH, negatives_KH, self.logit_scale, reference.FALSE_NEGATIVE_COSINE)


class CompatOptimizer:
    """P2, O1, O2: AdamW in fp32 on masters of the bf16 weights, with the bf16 gradients, not clipped."""

    def __init__(self, model):
        self.model = model
        self.parameters = [parameter for parameter in model.parameters() if parameter.grad is not None]
        self.masters = [parameter.detach().float().clone() for parameter in self.parameters]
        self.adamw = torch.optim.AdamW(self.masters, lr=1.0, weight_decay=0.01)

    def __call__(self, rate, loss_of):
        self.model.zero_grad()
        loss = loss_of()
        loss.backward()
        for master, parameter in zip(self.masters, self.parameters):
            master.grad = parameter.grad.float()
        self.adamw.param_groups[0]["lr"] = rate
        self.adamw.step()
        with torch.no_grad():
            for master, parameter in zip(self.masters, self.parameters):
                parameter.copy_(master)
        return loss.item(), torch.cat([master.grad.view(-1) for master in self.masters]).norm().item()
