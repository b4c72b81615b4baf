/* SPDX-License-Identifier: MIT
 *
 * String helpers of our own: built for the hypervisor and for the host alike, unlike string.c,
 * which stands in for the C library.
 */
#include "lib/string.h"

bool str_copy(char *dst, size_t cap, const char *src)
{
    size_t len = strlen(src);
    size_t fit = len;

    if (cap == 0)
        return false;
    if (fit > cap - 1)
        fit = cap - 1;
    memcpy(dst, src, fit);
    dst[fit] = 0;
    return fit == len;
}
