/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets the name and command line of this process as shown by ps and ss.
 */
#ifndef OS_PROCESS_TITLE_H
#define OS_PROCESS_TITLE_H

/*
 * Sets the name (15 bytes of it: comm of proc(5)) and overwrites the command line with it, as far as it fits, so that
 * no arguments are shown any more. argv must not be read afterwards.
 */
void process_set_title(const char *title);

/* Sets the name only; the command line stays. */
void process_set_name(const char *name);

#endif
