// The settings of this run, read once and shared by all VUs: thousands of them would hold a copy each otherwise.
import { SharedArray } from 'k6/data';
import { read } from './settings.js';

export const config = new SharedArray('settings', () => [read()])[0];
