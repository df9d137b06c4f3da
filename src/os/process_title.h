/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ps and ss call this process, in place of the words that it was started with.
 */
#ifndef OS_PROCESS_TITLE_H
#define OS_PROCESS_TITLE_H

/*
 * Sets the name (15 bytes of it: comm of proc(5)), and writes it over the command line, as far as that has room, so that nothing
 * of the arguments is shown any more. argv must not be read afterwards.
 */
void process_set_title(const char *title);

/* The name alone; the command line stays. */
void process_set_name(const char *name);

#endif
