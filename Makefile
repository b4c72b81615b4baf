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
IASL    ?= iasl
OBJCOPY ?= objcopy
PYTHON  ?= python3
JOBS    ?= $(shell nproc)
BUILD   := build
LINUX   := $(BUILD)/linux
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

# A parameter that only its type asks for has no name: gcc takes that as C23, clang must be told.
WARNINGS      := -Wall -Wextra -Wconversion -Wshadow -Werror -Wno-c2x-extensions
KERNEL_CFLAGS := -std=c17 -O2 -g -ffreestanding -fno-pic -mcmodel=kernel -mno-red-zone \
                 -mgeneral-regs-only -fno-stack-protector -fno-omit-frame-pointer \
                 -momit-leaf-frame-pointer -fno-asynchronous-unwind-tables -fno-strict-aliasing \
                 -fno-common $(WARNINGS) -I.
KERNEL_LDFLAGS := -nostdlib -static -z noexecstack -z max-page-size=4096 --build-id=none \
                  --fatal-warnings --no-warn-rwx-segments
# The same sources as a Linux program, with every check the compiler offers.
HOST_CFLAGS   := -std=gnu17 -O1 -g -fno-omit-frame-pointer -fno-strict-aliasing -fno-common \
                 -fsanitize=address,undefined -fno-sanitize-recover=all $(WARNINGS) -I.
UNIT_CFLAGS   := $(filter-out -Wconversion,$(HOST_CFLAGS))

# The C library has these; ours are tested there under the names lib_memcpy() and so on.
LIBC_NAMES    := memcpy memmove memset memcmp strlen strcmp strncmp strchr
$(BUILD)/host/lib/string.c.o: private HOST_CFLAGS += -fno-builtin $(foreach f,$(LIBC_NAMES),-D$(f)=lib_$(f))

.PHONY: all help capabilities run iso esp signed unit test check coverage bench size setup clean linux bootable guests

# The Debian packages for what was asked for are there before anything else happens.
GOALS := $(or $(MAKECMDGOALS),all)
ifeq ($(VITRINE_SETUP)$(filter-out clean help,$(GOALS)),)
SETUP :=
else ifndef VITRINE_SETUP
SETUP := build $(if $(filter run iso esp capabilities test bench,$(GOALS)),run) \
         $(if $(filter unit check test coverage,$(GOALS)),test)
$(shell tools/setup $(SETUP) >&2)
ifneq ($(.SHELLSTATUS),0)
$(error packages are missing)
endif
export VITRINE_SETUP := done
endif
all: $(BUILD)/vitrine.elf $(BUILD)/vitrine.efi $(BUILD)/compile_commands.json ## the hypervisor image (default)

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

# The guests' DSDT, for both.
$(BUILD)/dsdt.aml: guest/dsdt.asl | $(BUILD)/
	$(call say,IASL,$<)
	$(Q)$(IASL) -we -p $(basename $@) $< >$@.out 2>&1 || { cat $@.out; exit 1; }
$(BUILD)/obj/guest/dsdt.asm.o $(BUILD)/host/guest/dsdt.asm.o: $(BUILD)/dsdt.aml

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

# --- The UEFI application ---------------------------------------------------------------------

# PE32+ by way of Debian's gnu-efi; the image lies inside, so that one signature covers all.
UEFI_SRC    := $(wildcard boot/uefi/*.c boot/uefi/*.asm)
UEFI_OBJ    := $(patsubst %,$(BUILD)/uefi/%.o,$(UEFI_SRC) $(addprefix lib/,format.c log.c parse.c \
               string.c text.c) $(addprefix guest/,config.c option.c))
UEFI_CFLAGS := $(filter-out -fno-pic -mcmodel=kernel,$(KERNEL_CFLAGS)) -fpic -fshort-wchar \
               -DGNU_EFI_USE_MS_ABI -isystem /usr/include/efi -isystem /usr/include/efi/x86_64
EFI_LIB     := /usr/lib

$(BUILD)/uefi/%.c.o: %.c $(BUILD)/flags | $$(@D)/
	$(call say,CC,$<)
	$(Q)$(CC) $(UEFI_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(BUILD)/uefi/vitrine.bin: $(BUILD)/vitrine.elf | $$(@D)/
	$(Q)$(OBJCOPY) -O binary $< $@

$(BUILD)/uefi/%.asm.o: %.asm $(BUILD)/uefi/vitrine.bin | $$(@D)/
	$(call say,NASM,$<)
	$(Q)$(NASM) -f elf64 -Werror '-DKERNEL="$(BUILD)/uefi/vitrine.bin"' -o $@ $<

$(BUILD)/vitrine.efi: $(UEFI_OBJ)
	$(call say,EFI,$@)
	$(Q)$(LD) -nostdlib -shared -Bsymbolic -znocombreloc -z noexecstack --no-warn-rwx-segments \
	  -T $(EFI_LIB)/elf_x86_64_efi.lds -o $@.so $(EFI_LIB)/crt0-efi-x86_64.o $^ $(EFI_LIB)/libgnuefi.a
	$(Q)! $(NM) -u $@.so | grep .
	$(Q)$(OBJCOPY) -S -j .text -j .data -j .dynamic -j .dynsym -j .rela -j .reloc \
	  --target efi-app-x86_64 --subsystem=10 $@.so $@

$(BUILD)/compile_commands.json: Makefile $(BUILD)/flags
	$(Q)$(PYTHON) tools/compdb.py --cflags '$(CC) $(KERNEL_CFLAGS)' $(filter %.c,$(KERNEL_SRC)) \
	  --cflags '$(CC) $(UNIT_CFLAGS)' $(UNIT_SRC) >$@

# --- Tests ------------------------------------------------------------------------------------

$(HOST_LIB): $(HOST_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar crs $@ $^

$(BUILD)/unit/test_uefi: private UNIT_CFLAGS += $(filter -D% -fshort% -isystem /usr/%,$(UEFI_CFLAGS))

$(BUILD)/unit/%: tests/unit/%.c $(HOST_LIB) $(BUILD)/flags | $$(@D)/
	$(call say,UNIT,$<)
	$(Q)$(CC) $(UNIT_CFLAGS) $(DEPFLAGS) -o $@ $< $(HOST_LIB) -lcmocka

# Bare-metal guests: each folder of tests/guests/ but lib is one, linked with tests/guests/lib and
# with what it needs of lib/.
GUEST_NAMES  := $(filter-out lib,$(patsubst tests/guests/%/,%,$(wildcard tests/guests/*/)))
GUEST_BIN    := $(GUEST_NAMES:%=$(BUILD)/guests/%.elf)
GUEST_CFLAGS := $(filter-out -mcmodel=kernel,$(KERNEL_CFLAGS))
guest_obj     = $(patsubst %,$(BUILD)/guests/%.o,$(call sources,$(1),c S asm))
GUEST_LIB    := $(call guest_obj,lib tests/guests/lib)

$(BUILD)/guests/%.c.o: %.c $(BUILD)/flags | $$(@D)/
	$(call say,GCC,$<)
	$(Q)$(CC) $(GUEST_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(BUILD)/guests/%.S.o: %.S $(BUILD)/flags | $$(@D)/
	$(call say,GAS,$<)
	$(Q)$(CC) $(GUEST_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(BUILD)/guests/%.asm.o: %.asm | $$(@D)/
	$(call say,GNAS,$<)
	$(Q)$(NASM) -f elf64 -Werror -I./ -MD $@.d -o $@ $<

$(BUILD)/guests/%.elf: $$(call guest_obj,tests/guests/$$*) $(GUEST_LIB) tests/guests/guest.ld
	$(call say,GLD,$@)
	$(Q)$(LD) $(KERNEL_LDFLAGS) -T tests/guests/guest.ld -o $@ $(filter %.o,$^)

guests: $(GUEST_BIN) ## the bare-metal test guests

unit: $(UNIT_BIN) $(LINUX)/vmlinuz ## the unit tests, on the host with sanitizers
	$(Q)$(PYTHON) tests/run.py --jobs $(JOBS) --build $(BUILD) unit

include $(wildcard tests/emulator/oracles.mk)

# --- Checks -----------------------------------------------------------------------------------

# Each file's check leaves a stamp that depends on what it read, so that only changes are checked.
CHECK       := $(BUILD)/check
TEST_C      := $(wildcard tests/*/*.c tests/guests/*/*.c)
KERNEL_C    := $(filter %.c,$(KERNEL_SRC) $(UEFI_SRC))
HEADERS     += $(wildcard boot/uefi/*.h)
FORMATTED   := $(KERNEL_C) $(HEADERS) $(TEST_C) $(wildcard tests/*/*.h tests/guests/*/*.h)
PYTHON_SRC  := $(wildcard tools/*.py tests/*.py tests/*/*.py) tools/run tools/size tools/trace
SHELL_SRC   := tools/setup tools/fetch $(wildcard tools/*/*.sh) .ci/run
# comparePointers: the linker's symbols are objects of their own to it.  constStatement: it takes
# loop conditions for statements; -Wunused-value is right about those.
CPPCHECK    := cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
               --error-exitcode=1 --suppress=missingIncludeSystem --suppress=comparePointers \
               --suppress=constStatement --template=gcc -I.
CHECKS      := $(CHECK)/layers $(CHECK)/scripts $(FORMATTED:%=$(CHECK)/format/%.ok) \
               $(HEADERS:%=$(CHECK)/header/%.ok) $(KERNEL_C:%=$(CHECK)/tidy/%.ok) \
               $(KERNEL_C:%=$(CHECK)/cppcheck/%.ok)

check: $(CHECKS) ## layers, format, lint: zero findings
	@echo "check: $(words $(KERNEL_C)) sources, $(words $(HEADERS)) headers: no findings"

$(CHECK)/layers: $(KERNEL_SRC) $(HEADERS) tools/layers.py | $(CHECK)/
	$(call say,LAYR,"folders and circles")
	$(Q)$(PYTHON) tools/layers.py && touch $@

$(CHECK)/scripts: $(PYTHON_SRC) $(SHELL_SRC) | $(CHECK)/
	$(call say,LINT,"scripts")
	$(Q)for f in $(SHELL_SRC); do sh -n $$f || exit 1; done
	$(Q)for f in $(PYTHON_SRC); do \
	  $(PYTHON) -c 'import sys; compile(open(sys.argv[1]).read(), *sys.argv[1:], "exec")' $$f \
	    || exit 1; done
	@touch $@

$(CHECK)/format/%.ok: % .clang-format | $$(@D)/
	$(Q)clang-format --dry-run -Werror $< 2>$@.out || \
	  { head -n 3 $@.out; echo "clang-format -i $< would mend it"; exit 1; }
	@touch $@

$(CHECK)/header/boot/uefi/%.ok $(CHECK)/tidy/boot/uefi/%.ok $(CHECK)/cppcheck/boot/uefi/%.ok: \
  private KERNEL_CFLAGS := $(UEFI_CFLAGS)

$(CHECK)/header/%.ok: % $(BUILD)/flags | $$(@D)/
	$(call say,HDR,$<)
	$(Q)echo '#include "$<"' | $(CC) $(KERNEL_CFLAGS) $(DEPFLAGS) -MT $@ -fsyntax-only -Wno-unused -x c - && touch $@

# Nothing but constants, a hundred thousand nodes of them, which these checks take a minute for.
$(CHECK)/tidy/emulator/table.c.ok: private TIDY_LESS := --checks=-bugprone-*,-performance-*

$(CHECK)/tidy/%.ok: % .clang-tidy $(BUILD)/flags | $$(@D)/
	$(call say,TIDY,$<)
	$(Q)clang-tidy --quiet $(TIDY_LESS) $< -- $(filter-out -Werror,$(KERNEL_CFLAGS)) >$@.out 2>&1 || \
	  { grep -v ' warnings\? generated' $@.out; exit 1; }
	$(Q)$(CC) $(KERNEL_CFLAGS) -MM -MP -MT $@ -MF $@.d $< && touch $@

$(CHECK)/cppcheck/%.ok: % $(BUILD)/flags | $$(@D)/
	$(call say,CPPC,$<)
	$(Q)$(CPPCHECK) $< && $(CC) $(KERNEL_CFLAGS) -MM -MP -MT $@ -MF $@.d $< && touch $@

-include $(filter-out $(CHECK)/layers.d $(CHECK)/scripts.d,$(CHECKS:%=%.d))

# --- Booting ----------------------------------------------------------------------------------

LINUX_ARGS := console=ttyS0,115200 quiet
LINUX_GUEST = --append "$(LINUX_ARGS)" --initrd $(LINUX)/initramfs.cpio --symbols $(LINUX)/System.map \
              $(LINUX)/vmlinuz

$(BUILD)/loader.bin: tools/fastboot/loader.asm | $(BUILD)/
	$(call say,NASM,$<)
	$(Q)$(NASM) -f bin -Werror -o $@ $<

$(LINUX)/vmlinuz: | $(LINUX)/
	$(call say,GET,"Debian's linux-image-cloud-amd64")
	$(Q)tools/fetch kernel $@

$(LINUX)/System.map: $(LINUX)/vmlinuz tools/kallsyms.py
	$(call say,SYM,$@)
	$(Q)tools/kallsyms.py $< >$@

$(LINUX)/busybox: | $(LINUX)/
	$(call say,GET,"Debian's busybox-static")
	$(Q)tools/fetch busybox $@

# For tools/run --host nested.
$(LINUX)/kvm: $(LINUX)/vmlinuz
	$(call say,GET,"its KVM modules")
	$(Q)tools/fetch kvm $@

$(LINUX)/%: tools/initramfs/%.asm | $(LINUX)/
	$(call say,NASM,$<)
	$(Q)$(NASM) -f bin -Werror -o $@ $<

$(LINUX)/initramfs.cpio: tools/mkinitramfs.py $(LINUX)/busybox $(LINUX)/first \
                         $(LINUX)/debugexit tools/initramfs/start.sh
	$(call say,CPIO,$@)
	$(Q)$(PYTHON) tools/mkinitramfs.py -o $@

linux: $(LINUX)/vmlinuz $(LINUX)/initramfs.cpio $(LINUX)/kvm $(LINUX)/System.map
bootable: $(BUILD)/vitrine.elf $(BUILD)/vitrine.efi $(BUILD)/loader.bin

run: bootable linux ## Debian's kernel under Vitrine, to a shell (without a terminal: a script; REPORT=x.html: and a report)
ifneq ($(REPORT),)
	$(call say,RUN,"Linux by a script for $(REPORT)")
	$(Q)tools/run --quiet --log $(BUILD)/report.txt --script tools/report.script \
	  $(LINUX_GUEST)
	$(Q)tools/trace $(BUILD)/report.txt --html $(REPORT)
else
	$(Q)if [ -t 0 ] && [ -t 1 ]; then script=; else script="--script tests/system/shell.script"; fi; \
	  tools/run $$script $(LINUX_GUEST)
endif

MODULES = "$(LINUX)/vmlinuz guest=linux -- $(LINUX_ARGS)" "$(LINUX)/initramfs.cpio initrd=linux"
iso: $(BUILD)/vitrine.iso ## an image for CD or stick: GRUB for BIOS and UEFI, the Linux guest
$(BUILD)/vitrine.iso: $(BUILD)/vitrine.elf $(LINUX)/vmlinuz $(LINUX)/initramfs.cpio tools/mkiso.py
	$(call say,ISO,$@)
	$(Q)$(PYTHON) tools/mkiso.py -o $@ $(BUILD)/vitrine.elf $(MODULES)

signed: $(BUILD)/vitrine.signed.efi ## for Secure Boot: KEY=your.key CERT=your.crt
$(BUILD)/vitrine.signed.efi: $(BUILD)/vitrine.efi FORCE
	$(Q)test -n "$(KEY)" -a -n "$(CERT)" || \
	  { echo "say make signed KEY=your.key CERT=your.crt (docs/boot.md)"; exit 1; }
	$(Q)sbsign --key $(KEY) --cert $(CERT) --output $@ $<

esp: $(BUILD)/esp.img ## a FAT volume with the UEFI application and the Linux guest
$(BUILD)/esp.img: $(BUILD)/vitrine.efi $(LINUX)/vmlinuz $(LINUX)/initramfs.cpio tools/mkesp.py
	$(call say,FAT,$@)
	$(Q)$(PYTHON) tools/mkesp.py -o $@ $(BUILD)/vitrine.efi $(MODULES)

include tests/bench/bench.mk
test: bootable linux iso esp $(UNIT_BIN) $(GUEST_BIN) $(BENCH_GUEST) $(ORACLE_BIN) $(FUZZ_BIN) ## everything: check, unit tests, guests, whole boots
	$(Q)$(PYTHON) tests/run.py --jobs $(JOBS) --build $(BUILD) $(TESTS)

coverage: ## what of the emulator the host tests execute, by line and branch

bench: ## cost of exits, boot time and size, beside KVM's

capabilities: bootable ## docs/capabilities.md anew, from what each CPU model of Bochs says
	$(Q)$(PYTHON) tools/capabilities.py

size: $(BUILD)/vitrine.elf ## size of the image, lines of code by folder
	$(Q)tools/size

clean: ## remove everything built
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

$(BUILD)/: ; @mkdir -p $@
-include $(KERNEL_OBJ:%=%.d) $(UEFI_OBJ:%=%.d) $(foreach g,$(GUEST_NAMES:%=tests/guests/%),$(addsuffix .d,$(call guest_obj,$(g)))) \
         $(GUEST_LIB:%=%.d) $(HOST_OBJ:%=%.d) $(UNIT_BIN:%=%.d)
