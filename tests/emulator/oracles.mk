# SPDX-License-Identifier: MIT
#
# The emulator's judges: build/oracle/native, zydis and sst286 (gcc, optimised, no sanitizers),
# build/fuzz/emulator (clang: libFuzzer with address and undefined-behaviour sanitizers) and
# build/bench/emulator; and all of them with counters for `make coverage` in build/coverage.  For
# the Makefile to include; everything is built out of HOST_SRC again.

ORACLE_BIN   := $(patsubst tests/emulator/%.c,$(BUILD)/oracle/%,$(wildcard tests/emulator/*.c))
BENCH_BIN    := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))
FUZZ_BIN     := $(BUILD)/fuzz/emulator $(BUILD)/fuzz/storm

# As in the hypervisor: nothing of ours touches x87 or SSE registers.
FAST_CFLAGS  := -std=gnu17 -O2 -g -fno-strict-aliasing -fno-common $(WARNINGS) -I.
FAST_SRC     := $(filter emulator/%.c lib/%.c,$(HOST_SRC))
FAST_OBJ     := $(FAST_SRC:%=$(BUILD)/fast/%.o)
FUZZ_CFLAGS  := -std=gnu17 -O1 -g -fno-strict-aliasing -fno-omit-frame-pointer \
                -fsanitize=address,undefined -fno-sanitize-recover=all $(WARNINGS) -I.
FUZZ_OBJ     := $(FAST_SRC:%=$(BUILD)/fuzz/obj/%.o)

$(BUILD)/fast/lib/string.c.o: private FAST_CFLAGS += -fno-builtin $(foreach f,$(LIBC_NAMES),-D$(f)=lib_$(f))
$(BUILD)/fuzz/obj/lib/string.c.o: private FUZZ_CFLAGS += -fno-builtin $(foreach f,$(LIBC_NAMES),-D$(f)=lib_$(f))

$(BUILD)/fast/%.c.o: %.c $(BUILD)/flags | $$(@D)/
	$(call say,FAST,$<)
	$(Q)$(CC) $(FAST_CFLAGS) -mgeneral-regs-only $(DEPFLAGS) -c -o $@ $<

$(BUILD)/fuzz/obj/%.c.o: %.c $(BUILD)/flags | $$(@D)/
	$(call say,FUZZ,$<)
	$(Q)clang $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link $(DEPFLAGS) -c -o $@ $<

$(BUILD)/fast/emulator.a: $(FAST_OBJ)
	$(Q)rm -f $@ && ar crs $@ $^

$(BUILD)/oracle/%: tests/emulator/%.c $(BUILD)/fast/emulator.a | $$(@D)/
	$(call say,CC,$<)
	$(Q)$(CC) $(FAST_CFLAGS) $(DEPFLAGS) -o $@ $< $(BUILD)/fast/emulator.a -lZydis

$(BUILD)/bench/%: tests/bench/%.c $(BUILD)/fast/emulator.a | $$(@D)/
	$(call say,CC,$<)
	$(Q)$(CC) $(FAST_CFLAGS) $(DEPFLAGS) -o $@ $< $(BUILD)/fast/emulator.a

$(BUILD)/fuzz/%: tests/fuzz/%.c $(FUZZ_OBJ) | $$(@D)/
	$(call say,FUZZ,$<)
	$(Q)clang $(FUZZ_CFLAGS) -fsanitize=fuzzer $(DEPFLAGS) -o $@ $< $(FUZZ_OBJ)

$(BUILD)/fuzz/storm: tests/fuzz/storm.c tests/fuzz/emulator.c $(HOST_LIB) | $(BUILD)/fuzz/
	$(call say,FUZZ,$<)
	$(Q)$(CC) $(HOST_CFLAGS) $(DEPFLAGS) -o $@ $(filter %.c,$^) $(HOST_LIB)

# Coverage is counted by clang; no sanitizers, whose checks would count as branches.
COVER        := $(BUILD)/coverage
COVER_CFLAGS := -std=gnu17 -O1 -g -fno-strict-aliasing -fno-common $(WARNINGS) -I. \
                -fprofile-instr-generate -fcoverage-mapping
COVER_OBJ    := $(FAST_SRC:%=$(COVER)/obj/%.o)
COVER_UNIT   := $(patsubst tests/unit/%.c,$(COVER)/%,$(wildcard tests/unit/test_emu_*.c))
COVER_BIN    := $(COVER_UNIT) $(ORACLE_BIN:$(BUILD)/oracle/%=$(COVER)/%) $(COVER)/emulator

$(COVER)/obj/lib/string.c.o: private COVER_CFLAGS += -fno-builtin $(foreach f,$(LIBC_NAMES),-D$(f)=lib_$(f))
$(COVER_BIN): private COVER_CFLAGS := $(filter-out -Wconversion,$(COVER_CFLAGS))
$(COVER)/emulator: private COVER_CFLAGS += -fsanitize=fuzzer

$(COVER)/obj/%.c.o: %.c $(BUILD)/flags | $$(@D)/
	$(call say,COV,$<)
	$(Q)clang $(COVER_CFLAGS) -mgeneral-regs-only $(DEPFLAGS) -c -o $@ $<

define cover_program
$(COVER)/%: $(1)/%.c $(COVER_OBJ) | $(COVER)/
	$$(call say,COV,$$<)
	$$(Q)clang $$(COVER_CFLAGS) $$(DEPFLAGS) -o $$@ $$< $(COVER_OBJ) -lZydis -lcmocka
endef
$(foreach dir,tests/unit tests/emulator tests/fuzz,$(eval $(call cover_program,$(dir))))

coverage: $(COVER_BIN)
	$(Q)$(PYTHON) tests/emulator/coverage.py $(COVER)

-include $(COVER_OBJ:%=%.d) $(COVER_BIN:%=%.d)
-include $(FAST_OBJ:%=%.d) $(FUZZ_OBJ:%=%.d) $(ORACLE_BIN:%=%.d) $(BENCH_BIN:%=%.d) $(FUZZ_BIN:%=%.d)
