# SPDX-License-Identifier: MIT
#
# Builds the hypervisor image build/vitrine.elf, its unit tests, disk and ISO images, and calls the
# programs in tools/ and tests/ that run and check them.  `make help` lists the targets; V=1 shows
# the commands, CC=clang takes the other compiler, JOBS=n bounds how much runs at once.

ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin LD),default)
LD := ld
endif
NASM    ?= nasm
NM      ?= nm
OBJCOPY ?= objcopy
PYTHON  ?= python3
JOBS    ?= $(shell nproc)
BUILD   := build
MAKEFLAGS += --no-builtin-rules -j$(JOBS)
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

ifeq ($(V),1)
Q   :=
say  = @:
else
Q   := @
say  = @printf '%-4s %s\n' $(1) $(2)
endif

# --- What is built ----------------------------------------------------------------------------

KERNEL_DIRS := lib emulator arch/x86 drivers drivers/host drivers/console drivers/model vmx guest boot
HOST_DIRS   := lib emulator drivers drivers/model drivers/console guest

sources      = $(sort $(foreach dir,$(1),$(wildcard $(addprefix $(dir)/*.,$(2)))))
KERNEL_SRC  := $(call sources,$(KERNEL_DIRS),c S asm)
HOST_SRC    := $(call sources,$(HOST_DIRS),c S asm)
UNIT_SRC    := $(wildcard tests/unit/test_*.c)
HEADERS     := $(call sources,$(KERNEL_DIRS),h)

KERNEL_OBJ  := $(KERNEL_SRC:%=$(BUILD)/obj/%.o)
HOST_LIB    := $(BUILD)/host/libvitrine.a
HOST_OBJ    := $(HOST_SRC:%=$(BUILD)/host/%.o)
UNIT_BIN    := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/unit/%)

WARNINGS      := -Wall -Wextra -Wconversion -Wshadow -Werror
KERNEL_CFLAGS := -std=c17 -O2 -g -ffreestanding -fno-pic -mcmodel=kernel -mno-red-zone \
                 -mgeneral-regs-only -fno-stack-protector -fno-omit-frame-pointer \
                 -fno-asynchronous-unwind-tables -fno-strict-aliasing -fno-common $(WARNINGS) -I.
KERNEL_LDFLAGS := -nostdlib -static -z noexecstack -z max-page-size=4096 --build-id=none \
                  --fatal-warnings --no-warn-rwx-segments
# The same sources as a Linux program, with every check the compiler offers.
HOST_CFLAGS   := -std=gnu17 -O1 -g -fno-omit-frame-pointer -fno-strict-aliasing -fno-common \
                 -fsanitize=address,undefined -fno-sanitize-recover=all $(WARNINGS) -I.
UNIT_CFLAGS   := $(filter-out -Wconversion,$(HOST_CFLAGS))

# The C library has these; ours are tested there under the names lib_memcpy() and so on.
LIBC_NAMES    := memcpy memmove memset memcmp strlen strcmp strncmp strchr
$(BUILD)/host/lib/string.c.o: private HOST_CFLAGS += -fno-builtin $(foreach f,$(LIBC_NAMES),-D$(f)=lib_$(f))

.PHONY: all help run iso disk unit test check bench size setup clean
all: $(BUILD)/vitrine.elf $(BUILD)/compile_commands.json ## the hypervisor image (default)

# --- Compiling --------------------------------------------------------------------------------

# A file that changes only when compiler or flags do: everything compiled depends on it.
$(BUILD)/flags: FORCE | $(BUILD)/
	@echo '$(CC) $(KERNEL_CFLAGS) $(HOST_CFLAGS)' | cmp -s - $@ || \
	 echo '$(CC) $(KERNEL_CFLAGS) $(HOST_CFLAGS)' > $@
FORCE:
.PHONY: FORCE

# An object's folder is made on demand.
%/:
	@mkdir -p $@
.SECONDEXPANSION:

DEPFLAGS = -MMD -MP -MF $@.d

$(BUILD)/obj/%.c.o: %.c $(BUILD)/flags | $$(@D)/
	$(call say,CC,$<)
	$(Q)$(CC) $(KERNEL_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(BUILD)/obj/%.S.o: %.S $(BUILD)/flags | $$(@D)/
	$(call say,AS,$<)
	$(Q)$(CC) $(KERNEL_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(BUILD)/obj/%.asm.o: %.asm | $$(@D)/
	$(call say,NASM,$<)
	$(Q)$(NASM) -f elf64 -g -F dwarf -Werror -I./ -MD $@.d -o $@ $<

$(BUILD)/host/%.c.o: %.c $(BUILD)/flags | $$(@D)/
	$(call say,HOST,$<)
	$(Q)$(CC) $(HOST_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(BUILD)/host/%.S.o: %.S $(BUILD)/flags | $$(@D)/
	$(call say,HOST,$<)
	$(Q)$(CC) $(HOST_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(BUILD)/host/%.asm.o: %.asm | $$(@D)/
	$(call say,HOST,$<)
	$(Q)$(NASM) -f elf64 -g -F dwarf -I./ -MD $@.d -o $@ $<

# --- The image --------------------------------------------------------------------------------

# Linked twice: the first link, without the symbol table, tells the addresses for the second.  The
# table lies behind all code, so no function moves; the last line makes sure of that.
LINK = $(LD) $(KERNEL_LDFLAGS) -T linker.ld -o $(1) $(KERNEL_OBJ) $(2)
$(BUILD)/vitrine.elf: $(KERNEL_OBJ) linker.ld tools/symbols.py
	$(call say,LD,$@)
	$(Q)$(call LINK,$(BUILD)/vitrine.pass1)
	$(Q)$(NM) -n $(BUILD)/vitrine.pass1 | $(PYTHON) tools/symbols.py >$(BUILD)/symbols.S
	$(Q)$(CC) -c -o $(BUILD)/symbols.o $(BUILD)/symbols.S
	$(Q)$(call LINK,$@,$(BUILD)/symbols.o)
	$(Q)$(NM) -n $@ | $(PYTHON) tools/symbols.py | cmp - $(BUILD)/symbols.S

$(BUILD)/compile_commands.json: Makefile $(BUILD)/flags
	$(Q)$(PYTHON) tools/compdb.py --cflags '$(CC) $(KERNEL_CFLAGS)' $(filter %.c,$(KERNEL_SRC)) \
	  --cflags '$(CC) $(UNIT_CFLAGS)' $(UNIT_SRC) >$@

# --- Tests ------------------------------------------------------------------------------------

$(HOST_LIB): $(HOST_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar crs $@ $^

$(BUILD)/unit/%: tests/unit/%.c $(HOST_LIB) $(BUILD)/flags | $$(@D)/
	$(call say,UNIT,$<)
	$(Q)$(CC) $(UNIT_CFLAGS) $(DEPFLAGS) -o $@ $< $(HOST_LIB) -lcmocka

unit: $(UNIT_BIN) ## the unit tests, on the host with sanitizers
	$(Q)$(PYTHON) tests/run.py --jobs $(JOBS) unit $(UNIT_BIN)

# --- Booting ----------------------------------------------------------------------------------

$(BUILD)/loader.bin: tools/fastboot/loader.asm | $(BUILD)/
	$(call say,NASM,$<)
	$(Q)$(NASM) -f bin -Werror -o $@ $<

clean: ## remove everything built
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

$(BUILD)/: ; @mkdir -p $@
-include $(KERNEL_OBJ:%=%.d) $(HOST_OBJ:%=%.d) $(UNIT_BIN:%=%.d)
