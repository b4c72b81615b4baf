# SPDX-License-Identifier: MIT
#
# What `make bench` measures with: the guest bench-vmexit, loops in real mode, and a Linux whose
# process 1 ends the machine at once.  For the Makefile to include.

BENCH_GUEST := $(BUILD)/guests/bench-vmexit.elf
BENCH_LINUX := $(LINUX)/bench.cpio
BENCH_REAL  := $(BUILD)/bench/realmode.bin

$(BENCH_GUEST): $(call guest_obj,tests/bench/vmexit) $(GUEST_LIB) tests/guests/guest.ld
	$(call say,GLD,$@)
	$(Q)$(LD) $(KERNEL_LDFLAGS) -T tests/guests/guest.ld -o $@ $(filter %.o,$^)

$(BENCH_REAL): tests/bench/realmode.asm | $(BUILD)/bench/
	$(call say,NASM,$<)
	$(Q)$(NASM) -f bin -Werror -o $@ $<

$(LINUX)/bench-init: tests/bench/linux/init.asm | $(LINUX)/
	$(call say,NASM,$<)
	$(Q)$(NASM) -f bin -Werror -o $@ $<

$(BENCH_LINUX): tools/mkinitramfs.py tools/initramfs/start.sh $(LINUX)/busybox \
                $(LINUX)/debugexit $(LINUX)/bench-init
	$(call say,CPIO,$@)
	$(Q)$(PYTHON) tools/mkinitramfs.py -o $@ --first $(LINUX)/bench-init

-include $(addsuffix .d,$(call guest_obj,tests/bench/vmexit))

bench: bootable linux $(BENCH_GUEST) $(BENCH_LINUX) $(BENCH_REAL) $(BENCH_BIN)
	$(Q)$(PYTHON) tests/bench/run.py
