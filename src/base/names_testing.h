/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests: the longest names that the DNS can have.
 */
#ifndef BASE_NAMES_TESTING_H
#define BASE_NAMES_TESTING_H

/* The longest label, and the longest name: four labels. */
#define LABEL_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME_250 LABEL_63 "." LABEL_63 "." LABEL_63 ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME_253 NAME_250 "aaa"

#endif
