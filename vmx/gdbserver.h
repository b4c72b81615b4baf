/* SPDX-License-Identifier: MIT
 *
 * What GDB debugs: a virtual machine, its CPUs as threads.
 */
#pragma once

#include "drivers/console/gdb.h"
#include "vmx/select.h"

struct gdbserver {
    struct gdb gdb;
    const struct vm_list *list;
    struct shell *shell; /* for `monitor` */
    unsigned vm;         /* number in the list: chosen by the command `gdb` */
    enum gdb_mode mode;  /* of the registers: likewise */
    bool open;           /* there is a port */
};

/* Serve on a port, and add the command `gdb` to the shell. */
CHECKED enum status gdbserver_init(struct gdbserver *s, const struct vm_list *list,
                                   struct shell *shell, const struct mux_hw *hw);

/* Call on the port's interrupt, and now and then. */
void gdbserver_poll(struct gdbserver *s);
