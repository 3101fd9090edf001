"""What nvidia-smi says, in the shapes that its versions and devices have."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.launch.gpu import Detection, Gpu, find_gpus, parse_nvidia_smi, parse_uuids, select_visible

RECORDED = Path(__file__).parent / "nvidia_smi"
TWO = (RECORDED / "two_gpus.xml").read_text()
MIG = (RECORDED / "mig.xml").read_text()
MIG_LIST = (RECORDED / "mig_list.txt").read_text()


def installed(*names):
    return lambda name: f"/usr/bin/{name}" if name in names else None


def answering(**outputs):
    """By the first option; an option that is not among them is one that the driver does not know."""

    def run(command):
        option = command[1].lstrip("-").partition("=")[0].replace("-", "_")
        if option not in outputs:
            raise subprocess.CalledProcessError(2, command)
        return outputs[option]

    return run


def test_several_gpus_are_numbered_by_their_place_on_the_bus():
    assert parse_nvidia_smi(TWO) == (
        Gpu(
            index=0,
            name="NVIDIA GeForce RTX 4090",
            uuid="GPU-f124aa59-d406-d45b-9481-8fcd694e6c9e",
            total_mib=24162,
            free_mib=9290,
            architecture="Ada Lovelace",
        ),
        Gpu(
            index=1,
            name="Tesla T4",
            uuid="GPU-feba7e40-d724-01ff-b00f-3a439a28a6c7",
            total_mib=14910,
            free_mib=14908,
            architecture="Turing",
        ),
    )


def test_turing_has_no_bfloat16_and_ada_has():
    assert [gpu.has_bfloat16 for gpu in parse_nvidia_smi(TWO)] == [True, False]


def test_the_compute_capability_is_asked_for_and_believed():
    found = find_gpus(run=answering(q=TWO, query_gpu="0, 6.1\n1, 8.9\n"), which=installed("nvidia-smi")).gpus
    assert [(gpu.capability, gpu.runs_vllm, gpu.has_bfloat16) for gpu in found] == [
        ((6, 1), False, False),
        ((8, 9), True, True),
    ]


@pytest.mark.parametrize("answer", ["", 'Field "compute_cap" is not a valid field to query.', "0, [N/A]\n", TWO])
def test_without_a_compute_capability_the_architecture_stands_for_it(answer):
    found = find_gpus(run=answering(q=TWO, query_gpu=answer), which=installed("nvidia-smi")).gpus
    assert [(gpu.capability, gpu.runs_vllm, gpu.has_bfloat16) for gpu in found] == [
        (None, True, True),
        (None, True, False),
    ]


def test_slices_have_the_compute_capability_of_their_gpu():
    found = find_gpus(run=answering(q=MIG, L=MIG_LIST, query_gpu="0, 8.0\n"), which=installed("nvidia-smi")).gpus
    assert [gpu.capability for gpu in found] == [(8, 0), (8, 0)]


def test_mig_slices_stand_in_for_their_gpu_and_a_gpu_that_hides_its_memory_is_left_out():
    assert [(gpu.index, gpu.mig_index, gpu.total_mib, gpu.uuid) for gpu in parse_nvidia_smi(MIG)] == [
        (0, 0, 20096, ""),
        (0, 1, 9984, ""),
    ]


def test_uuids_of_slices_come_from_the_list():
    found = find_gpus(run=answering(q=MIG, L=MIG_LIST), which=installed("nvidia-smi"))
    assert [gpu.uuid for gpu in found.gpus] == [
        "MIG-377e0049-554c-540b-93c6-d0976f8426cb",
        "MIG-f39aa248-6f1b-5769-b119-8d650bb34b27",
    ]
    assert found.gpus[0].label == "GPU 0 (NVIDIA H100 80GB HBM3, MIG slice 0)"


def test_the_list_names_whole_gpus_too():
    assert parse_uuids(MIG_LIST)[1, None] == "GPU-8c7c9c30-f12f-20bf-e14e-d3c4c965af32"


@pytest.mark.parametrize(
    ("visible", "indexes"),
    [
        (None, [0, 1]),
        ("1", [1]),
        ("1,0", [1, 0]),
        ("GPU-feba7e40", [1]),
        ("0,7,1", [0]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(visible, indexes):
    assert [gpu.index for gpu in select_visible(parse_nvidia_smi(TWO), visible)] == indexes


def test_without_a_driver_the_reason_is_said():
    found = find_gpus(which=installed())
    assert found == Detection((), "nvidia-smi is not installed, so there seems to be no NVIDIA driver.")


def test_amd_gpus_are_named_as_such():
    assert "AMD" in (find_gpus(which=installed("rocm-smi")).problem or "")


def fail_with(error):
    def run(command):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            subprocess.CalledProcessError(
                9,
                "nvidia-smi",
                output="NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
            ),
            "couldn't communicate with the NVIDIA driver",
        ),
        (subprocess.CalledProcessError(18, "nvidia-smi", output=""), "exit code 18"),
        (subprocess.TimeoutExpired("nvidia-smi", 20), "no answer"),
        (OSError("Exec format error"), "Exec format error"),
    ],
)
def test_a_driver_that_does_not_answer_is_no_crash(error, said):
    found = find_gpus(run=fail_with(error), which=installed("nvidia-smi"))
    assert found.gpus == ()
    assert said in (found.problem or "")


@pytest.mark.parametrize("text", ["", "No devices were found\n", "<html>"])
def test_output_that_is_no_xml_is_a_problem_and_not_a_crash(text):
    assert find_gpus(run=answering(q=text), which=installed("nvidia-smi")).gpus == ()


def test_a_machine_whose_driver_sees_no_gpu():
    found = find_gpus(run=answering(q="<nvidia_smi_log></nvidia_smi_log>"), which=installed("nvidia-smi"))
    assert found.problem == "nvidia-smi finds no GPU whose memory it can tell."


def test_hidden_gpus_are_said_to_be_hidden():
    found = find_gpus(visible="5", run=answering(q=TWO), which=installed("nvidia-smi"))
    assert found.problem == "CUDA_VISIBLE_DEVICES=5 names none of the 2 GPUs here."


XML = st.recursive(
    st.sampled_from(["", "Enabled", "N/A", "24564 MiB", "0 MiB", "12 GiB", "x", "-1 MiB"]),
    lambda inner: st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "gpu",
                    "mig_device",
                    "mig_mode",
                    "current_mig",
                    "fb_memory_usage",
                    "total",
                    "free",
                    "reserved",
                    "index",
                    "uuid",
                ]
            ),
            inner,
        ),
        max_size=4,
    ).map(lambda nodes: "".join(f"<{name}>{text}</{name}>" for name, text in nodes)),
    max_leaves=20,
)


@given(text=st.text(max_size=60) | XML.map(lambda inner: f"<nvidia_smi_log>{inner}</nvidia_smi_log>"))
def test_no_output_of_nvidia_smi_is_a_crash(text):
    found = find_gpus(run=answering(q=text, L=text), which=installed("nvidia-smi"))
    assert found.gpus or found.problem
    for gpu in found.gpus:
        assert gpu.total_mib > 0
