/* SPDX-License-Identifier: MIT
 *
 * The guest's motherboard: one bus, one clock, and every device model wired as in a PC.  The
 * processor side gets at it through `bus`, `clock`, `intc` and the cpu_port that it hands in; it
 * needs nothing else of what is here.
 */
#pragma once

#include "drivers/model/vblk.h"
#include "drivers/model/vioapic.h"
#include "drivers/model/vkbd.h"
#include "drivers/model/vpci.h"
#include "drivers/model/vpic.h"
#include "drivers/model/vpit.h"
#include "drivers/model/vpm.h"
#include "drivers/model/vrtc.h"
#include "drivers/model/vsys.h"
#include "drivers/model/vuart.h"
#include "guest/firmware.h"

struct board_config {
    unsigned vcpus;
    u64 mem;                   /* bytes, as vm_config.mem */
    u64 (*read)(void *source); /* the guest's time-stamp counter */
    void *source;
    u64 hz;                      /* its rate */
    u64 epoch;                   /* seconds since 1970-01-01 00:00 UTC at board_init() */
    const struct chardev *uart;  /* behind COM1 */
    const struct cpu_port *port; /* what devices do to CPUs */
    const char *firmware;        /* a firmware guest's name, NULL for others */
    const struct gmem *memory;   /* where devices that transfer by themselves do so */
    const void *disk;            /* NULL: none */
    u64 disk_size;               /* bytes, whole sectors */
};

struct board {
    struct bus bus;
    struct clock clock;                       /* of the devices and of CPU 0 */
    struct clock cpu_clock[CONFIG_MAX_VCPUS]; /* [n], n > 0: of CPU n's local APIC */
    struct intc intc;
    struct board_config config;
    u64 built; /* tick of board_init() */
    struct vlapic_set lapics;
    struct vioapic ioapic;
    struct vpic pic;
    struct vpit pit;
    struct vrtc rtc;
    struct vuart uart;
    struct vkbd kbd;
    struct vpm pm;
    struct vpci pci;
    struct vsys sys;
    struct vblk disk;
    struct firmware firmware; /* of firmware guests */
};

/*
 * Create all devices in their power-on state and as firmware leaves them (8259 interrupts have the
 * BIOS's vectors and reach CPU 0 through its local APIC, the SCI is level-triggered, CMOS knows the
 * memory size).  What config points to must outlive the board.  EINVAL: vcpus
 * not 1..CONFIG_MAX_VCPUS, no clock rate, or nothing behind `read`, `uart` or `port`.
 */
CHECKED enum status board_init(struct board *b, const struct board_config *config);

/* The same again after a machine reset: devices, timers and bus counters start anew, only the time
 * of day goes on.  Range numbers on the bus stay what they were. */
CHECKED enum status board_reset(struct board *b);

/* The devices by name: X(name, member, function that shows it). */
#define BOARD_DEVICES(X)              \
    X("lapic", vlapic_show, lapics)   \
    X("ioapic", vioapic_show, ioapic) \
    X("pic", vpic_show, pic)          \
    X("pit", vpit_show, pit)          \
    X("rtc", vrtc_show, rtc)          \
    X("uart", vuart_show, uart)       \
    X("kbd", vkbd_show, kbd)          \
    X("pm", vpm_show, pm)             \
    X("pci", vpci_show, pci)          \
    X("sys", vsys_show, sys)          \
    X("disk", vblk_show, disk)        \
    X("fwcfg", vfwcfg_show, firmware.fwcfg)

/* A device's state in words, or (NULL) that of all; false: there is none of that name. */
bool board_show(const struct board *b, const char *device, struct sink *out);
