/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a parsed section is made of; for profile_file.c and its fuzz target only.
 */
#ifndef AWS_PROFILE_FILE_INTERNAL_H
#define AWS_PROFILE_FILE_INTERNAL_H

#include "aws/profile_file.h"
#include "base/buf.h"

struct property {
        char *name; /* lower case */
        struct buf value;
        enum profile_file file;
};

struct profile_section {
        enum profile_kind kind;
        char *name;
        bool is_bare; /* [default] of the config file, which [profile default] outdoes wherever it stands */
        struct property *properties;
        size_t count;
};

#endif
