/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parser of patterns makes and their matcher goes through. */
#ifndef MS_ENGINE_HEXPAT_NODE_H
#define MS_ENGINE_HEXPAT_NODE_H

#include "engine/hexpat.h"

enum node_type { NODE_RUN, NODE_JUMP, NODE_OPEN, NODE_OR, NODE_CLOSE };

struct hexpat_node {
	enum node_type type;
	uint32_t min, max;    /* distance from the start of a match; of CLOSE: to what follows */
	uint32_t from, size;  /* RUN: its bytes in value and mask */
	uint32_t least, most; /* JUMP */
	uint32_t open;	      /* CLOSE: its OPEN */
	uint32_t next;	      /* OPEN, OR: the next OR, or the CLOSE */
	uint32_t chosen;      /* OPEN, OR: the node of this branch to find it by */
	bool wanted;	      /* this node is one to find the pattern by */
};

#endif
