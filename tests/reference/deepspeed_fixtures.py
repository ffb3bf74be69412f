#!/usr/bin/env python3
"""Writes tiny HLLM checkpoints as the reference leaves them, by DeepSpeed itself on CPUs; run again only to change them.

Needs deepspeed beside the packages of scripts/fidelity_env.sh (written with deepspeed 0.19.8, DS_ACCELERATOR=cpu).
  tests/worker/checkpoint/fixtures/zero2/      stage 2 on 2 ranks, bf16; the user LLM's head is tied to its embeddings
  tests/worker/checkpoint/fixtures/zero3/      stage 3 on 3 ranks, bf16; the item LLM is frozen
  tests/worker/checkpoint/fixtures/zeroN.safetensors    what DeepSpeed's own zero_to_fp32 makes of each
  tests/worker/checkpoint/fixtures/released/pytorch_model.bin  the flat file of rule F1: zero2's tensors
"""

import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("DS_ACCELERATOR", "cpu")
import deepspeed  # noqa: E402
import torch  # noqa: E402
import torch.multiprocessing as mp  # noqa: E402
from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM  # noqa: E402

FIXTURES = Path(__file__).resolve().parents[1] / "worker/checkpoint/fixtures"
TAG = "checkpoint"


class HLLM(torch.nn.Module):
    """The reference's parameters under the reference's names; the sizes of tests/worker/checkpoint/tiny_model.h."""

    def __init__(self, tied):
        super().__init__()
        sizes = dict(hidden_size=4, intermediate_size=6, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, vocab_size=5,
                     max_position_embeddings=16)
        self.item_llm = LlamaForCausalLM(LlamaConfig(**sizes))
        self.user_llm = LlamaForCausalLM(LlamaConfig(**sizes, tie_word_embeddings=tied))
        self.item_emb_tokens = torch.nn.Parameter(torch.randn(1, 1, 4) * 0.02)
        self.logit_scale = torch.nn.Parameter(torch.tensor(2.6593))

    def forward(self):
        ids = torch.tensor([[1, 2, 3]])
        item = self.item_llm(input_ids=ids).logits.float().sum() + self.item_emb_tokens.float().sum()
        return (item + self.user_llm(input_ids=ids).logits.float().square().sum()) * self.logit_scale.float()


def let_scalars_be_broadcast():
    """This release broadcasts parameters as bytes, which torch refuses for a scalar; one element of a vector is the same memory."""
    view = torch.Tensor.view
    torch.Tensor.view = lambda self, *sizes: view(self.reshape(1) if self.dim() == 0 and sizes == (torch.uint8,) else self, *sizes)


def train(rank, stage, world, folder, port):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.manual_seed(7)
    let_scalars_be_broadcast()
    deepspeed.init_distributed("gloo")
    model = HLLM(tied=stage == 2)
    if stage == 3:
        model.item_llm.requires_grad_(False)
    config = {"train_micro_batch_size_per_gpu": 1, "bf16": {"enabled": True}, "zero_allow_untested_optimizer": True,
              "zero_optimization": {"stage": stage, "reduce_bucket_size": 1000, "stage3_prefetch_bucket_size": 1000}}
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=1e-3)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
    engine.backward(engine())
    engine.step()
    engine.save_checkpoint(str(folder), tag=TAG)
    torch.distributed.destroy_process_group()


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 29533
    for stage, world in ((2, 2), (3, 3)):
        folder = FIXTURES / f"zero{stage}"
        shutil.rmtree(folder, ignore_errors=True)
        mp.spawn(train, (stage, world, folder, port + stage), nprocs=world)
        for program in folder.glob("zero_to_*.py"):  # DeepSpeed leaves its own programs there
            program.unlink()
        tensors = {name: tensor.detach().clone().contiguous() for name, tensor in get_fp32_state_dict_from_zero_checkpoint(str(folder)).items()}
        save_file(tensors, FIXTURES / f"zero{stage}.safetensors")
        if stage == 2:
            (FIXTURES / "released").mkdir(exist_ok=True)
            torch.save(tensors, FIXTURES / "released/pytorch_model.bin")


if __name__ == "__main__":
    main()
